"""The graphs of a tokenizer, run by onnxruntime.

onnxruntime answers bad input in silence: NaN and zero vectors get codes, and −1 decodes as the last
code. So each block of rows is checked before it is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.arrays import chunks, in_order, usable_cores
from semantic_ids.errors import BadInput
from semantic_ids.extras import load
from semantic_ids.runtime.checks import (
    Name,
    numbered,
    require,
    require_codes,
    require_sound,
)

FORMAT = 1
"""Of the metadata of graphs that this version runs."""
ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
BLOCK_ROWS = 1024
"""Rows that are read, checked and written at a time."""
RUN_ROWS = 256
"""Rows of one run of a graph, whose scores stay in the processor's cache: 2,048 take a quarter
more time, 65,536 three times as much."""
Run = Callable[[np.ndarray], np.ndarray]
"""What onnxruntime, or another, makes of the rows of one run."""


class Encoder:
    """A tokenizer that encodes and decodes what it has checked; `load_encoder` makes one.

    Args:
        run: Encodes checked vectors, (m, D) float32 → (m, L).
        run_back: Decodes checked codes, (m, L) int32 → (m, D) float32.
        about: What `load_encoder` says of a graph.
        threads: Threads that run blocks of rows side by side.
        run_rows: Rows of one run.

    Attributes:
        backend: `onnx` or `torch`.
        kind: Kind of the tokenizer, such as `rq_kmeans`.
        dim: Dimensions D of a vector.
        codebook_sizes: Codes of each of the L levels.
        normalizes: Whether vectors are scaled to unit length first, so that zeros have no codes.
        content: Fingerprint of the tokenizer.
    """

    def __init__(
        self,
        run: Run,
        run_back: Run,
        about: Mapping[str, Any],
        *,
        threads: int = 1,
        run_rows: int = RUN_ROWS,
        backend: str = "onnx",
    ) -> None:
        self._run, self._run_back = run, run_back
        self.threads, self.run_rows, self.backend = threads, run_rows, backend
        self.kind: str = about["kind"]
        self.dim: int = about["dim"]
        self.codebook_sizes: tuple[int, ...] = tuple(about["codebook_sizes"])
        self.normalizes: bool = about["normalizes"]
        self.content: str = about["fingerprint"]

    def encode(self, vectors: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Encode vectors, a block of rows at a time.

        Args:
            vectors: Shape (n, D), numbers.
            first_row: Number of the first row, for errors where this is a part of something larger.

        Returns:
            Shape (n, L), int32. Items that are alike may have equal codes.

        Raises:
            BadInput: Another width, NaN or infinity, zeros where the tokenizer normalizes.
        """
        vectors = np.asarray(vectors)
        require(vectors, self.dim, "iuf", "vectors", "numbers")
        shape = (len(vectors), len(self.codebook_sizes))
        return self._each(self.encode_block, vectors, first_row, np.empty(shape, dtype=np.int32))

    def decode(self, codes: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Decode codes, a block of rows at a time.

        Args:
            codes: Shape (n, L), integers.
            first_row: Number of the first row, for errors where this is a part of something larger.

        Returns:
            Shape (n, D), float32.

        Raises:
            BadInput: Another number of levels, or a code that is not in its codebook.
        """
        codes = np.asarray(codes)
        require(codes, len(self.codebook_sizes), "iu", "codes", "integers")
        made = np.empty((len(codes), self.dim), dtype=np.float32)
        return self._each(self.decode_block, codes, first_row, made)

    def encode_block(self, vectors: np.ndarray, name: Name) -> np.ndarray:
        """Encode few vectors, in this thread: (m, D) numbers → (m, L) int32.

        `name` says what errors call a row of these.
        """
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as that
            block = np.ascontiguousarray(vectors, dtype=np.float32)
        require_sound(block, self.normalizes, name)
        codes = np.empty((len(block), len(self.codebook_sizes)), dtype=np.int32)
        for rows in chunks(len(block), self.run_rows):
            codes[rows] = self._run(block[rows])
        return codes

    def decode_block(self, codes: np.ndarray, name: Name) -> np.ndarray:
        """Decode few codes, in this thread: (m, L) integers → (m, D) float32."""
        require_codes(codes, self.codebook_sizes, name)
        block = np.ascontiguousarray(codes, dtype=np.int32)
        vectors = np.empty((len(block), self.dim), dtype=np.float32)
        for rows in chunks(len(block), self.run_rows):
            vectors[rows] = self._run_back(block[rows])
        return vectors

    def _each(
        self,
        convert: Callable[[np.ndarray, Name], np.ndarray],
        given: np.ndarray,
        first_row: int,
        made: np.ndarray,
    ) -> np.ndarray:
        """Fill `made` with what becomes of each block of rows."""

        def work(rows: slice) -> None:
            made[rows] = convert(given[rows], numbered(first_row + rows.start))

        parts = chunks(len(given), max(self.run_rows, BLOCK_ROWS))
        for _ in in_order(work, parts, self.threads) if self.threads > 1 else map(work, parts):
            pass
        return made


def load_encoder(directory: str | Path, threads: int | None = None) -> Encoder:
    """Load the graphs of a tokenizer's folder, with numpy and onnxruntime alone.

    Args:
        directory: Folder of a tokenizer that was saved with its graphs.
        threads: Threads that run graphs side by side; as many as there are cores that this process
            may use if None. They do not change the codes.

    Raises:
        BadInput: A graph is missing, damaged, or of another tokenizer; onnxruntime is missing.
    """
    folder = Path(directory)
    encoder, about = _graph(folder / ENCODER_FILE)
    decoder, also = _graph(folder / DECODER_FILE)
    _require_same(folder / DECODER_FILE, also, about, ENCODER_FILE)
    config = _read_json(folder / "config.json")
    if config is not None:
        named = {name: config.get(name) for name in ("kind", "dim", "codebook_sizes")}
        named["normalizes"] = (config.get("preprocess") or {}).get("normalize")
        _require_same(folder / ENCODER_FILE, about, named, "config.json")
    manifest = _read_json(folder / "manifest.json")
    if manifest is not None:
        named = {"fingerprint": manifest.get("content")}
        _require_same(folder / ENCODER_FILE, about, named, "manifest.json")
    return Encoder(
        lambda vectors: encoder.run(["codes"], {"vectors": vectors})[0],
        lambda codes: decoder.run(["vectors"], {"codes": codes})[0],
        about,
        threads=usable_cores() if threads is None else threads,
    )


def _graph(file: Path) -> tuple[Any, dict[str, Any]]:
    """Return the session of a graph, and what the graph says of itself."""
    if not file.is_file():
        raise BadInput(
            "there is no such graph",
            where=str(file),
            expected=f"the folder of a tokenizer, with {ENCODER_FILE} and {DECODER_FILE}",
            do="export the tokenizer with export.onnx=true, or save(DIR, onnx=True) in Python",
        )
    onnxruntime = load("onnxruntime")
    onnxruntime.disable_telemetry_events()  # it keeps a file of them in the user's cache
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # blocks of rows run side by side instead
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        found = session.get_modelmeta().custom_metadata_map
        about = {
            name: json.loads(found[f"semantic_ids.{name}"])
            for name in ("format", "kind", "dim", "codebook_sizes", "normalizes", "fingerprint")
        }
    except Exception as error:  # onnxruntime has a dozen of its own, without a common one
        raise _damaged(file, error) from error
    if about["format"] != FORMAT:
        raise BadInput(
            f"a graph of format {about['format']}",
            where=str(file),
            expected=f"format {FORMAT}",
            do="export it again, with this version of semantic-ids",
        )
    return session, about


def _require_same(file: Path, found: dict[str, Any], expected: dict[str, Any], source: str) -> None:
    """Refuse a graph that is of another tokenizer than the file beside it."""
    for name, value in expected.items():
        if found[name] != value:
            raise BadInput(
                f"its {name} is {found[name]}, that of {source} is {value}",
                where=str(file),
                expected="a folder whose files are of one tokenizer",
                do="export the graphs again with export.onnx=true",
            )


def _read_json(file: Path) -> dict[str, Any] | None:
    """Read an object; None where there is no such file."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error
    if not isinstance(values, dict):
        raise _damaged(file, "it holds no object")
    return values


def _damaged(file: Path, reason: object) -> BadInput:
    return BadInput(
        f"it cannot be read: {reason}",
        where=str(file),
        expected="a file of a tokenizer that was not changed",
        do="export the tokenizer again with export.onnx=true",
    )
