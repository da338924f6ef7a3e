"""The graphs of a tokenizer, run by onnxruntime.

onnxruntime answers bad input in silence: NaN and zero vectors get codes, and −1 decodes as the last
code. So each block of rows is checked before it is run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.arrays import chunks, usable_cores
from semantic_ids.errors import BadInput
from semantic_ids.extras import load

FORMAT = 1
"""Of the metadata of graphs that this version runs."""
ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
BLOCK_ROWS = 2048
"""Rows of one call: 65,536 take five times the memory and three times as long."""


class Encoder:
    """A tokenizer that encodes and decodes without torch; `load_encoder` makes one.

    Attributes:
        kind: Kind of the tokenizer, such as `rq_kmeans`.
        dim: Dimensions D of a vector.
        codebook_sizes: Codes of each of the L levels.
        normalizes: Whether vectors are scaled to unit length first, so that zeros have no codes.
        content: Fingerprint of the tokenizer.
    """

    def __init__(self, encoder: Any, decoder: Any, about: dict[str, Any]) -> None:
        self._encoder, self._decoder = encoder, decoder
        self.kind: str = about["kind"]
        self.dim: int = about["dim"]
        self.codebook_sizes: tuple[int, ...] = tuple(about["codebook_sizes"])
        self.normalizes: bool = about["normalizes"]
        self.content: str = about["fingerprint"]

    def encode(self, vectors: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Encode vectors, 2,048 rows at a time.

        Args:
            vectors: Shape (n, D), numbers.
            first_row: Number of the first row, for errors where this is a part of something larger.

        Returns:
            Shape (n, L), int32. Items that are alike may have equal codes.

        Raises:
            BadInput: Another width, NaN or infinity, zeros where the tokenizer normalizes.
        """
        vectors = np.asarray(vectors)
        _require(vectors, self.dim, "iuf", "vectors", "numbers")
        codes = np.empty((len(vectors), len(self.codebook_sizes)), dtype=np.int32)
        for rows in chunks(len(vectors), BLOCK_ROWS):
            with np.errstate(over="ignore"):  # becomes infinite, and is refused as that
                block = np.ascontiguousarray(vectors[rows], dtype=np.float32)
            self._require_sound(block, first_row + rows.start)
            (codes[rows],) = self._encoder.run(["codes"], {"vectors": block})
        return codes

    def decode(self, codes: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Decode codes, 2,048 rows at a time.

        Args:
            codes: Shape (n, L), integers.
            first_row: Number of the first row, for errors where this is a part of something larger.

        Returns:
            Shape (n, D), float32.

        Raises:
            BadInput: Another number of levels, or a code that is not in its codebook.
        """
        codes = np.asarray(codes)
        _require(codes, len(self.codebook_sizes), "iu", "codes", "integers")
        vectors = np.empty((len(codes), self.dim), dtype=np.float32)
        for rows in chunks(len(codes), BLOCK_ROWS):
            self._require_codes(codes[rows], first_row + rows.start)
            block = np.ascontiguousarray(codes[rows], dtype=np.int32)
            (vectors[rows],) = self._decoder.run(["vectors"], {"codes": block})
        return vectors

    def _require_sound(self, block: np.ndarray, first_row: int) -> None:
        """Refuse rows that have no codes, naming the first (rows count from 0)."""
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise BadInput(
                "it holds NaN or infinite values",
                where=f"row {first_row + int(bad.argmax())}",
                expected="finite float32 numbers",
                do="mend or drop that row",
            )
        if self.normalizes and (zero := np.linalg.norm(block, axis=1) == 0).any():
            raise BadInput(
                "it is a vector of zeros, which cannot be scaled to unit length",
                where=f"row {first_row + int(zero.argmax())}",
                expected="vectors with a length, for this tokenizer normalizes",
                do="mend or drop that row",
            )

    def _require_codes(self, block: np.ndarray, first_row: int) -> None:
        """Refuse codes that are not there, naming the first row (rows count from 0)."""
        bad = (block < 0) | (block >= np.array(self.codebook_sizes))
        if bad.any():
            row = int(bad.any(axis=1).argmax())
            level = int(bad[row].argmax())
            raise BadInput(
                f"code {block[row, level]} of level {level + 1} is not in its codebook",
                where=f"row {first_row + row}",
                expected=f"0 to {self.codebook_sizes[level] - 1}",
                do="take codes of this tokenizer",
            )


def load_encoder(directory: str | Path, threads: int | None = None) -> Encoder:
    """Load the graphs of a tokenizer's folder, with numpy and onnxruntime alone.

    Args:
        directory: Folder of a tokenizer that was saved with its graphs.
        threads: Threads of onnxruntime; all cores that this process may use if None. They do not
            change the codes.

    Raises:
        BadInput: A graph is missing, damaged, or of another tokenizer; onnxruntime is missing.
    """
    folder = Path(directory)
    encoder, about = _graph(folder / ENCODER_FILE, threads)
    decoder, also = _graph(folder / DECODER_FILE, threads)
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
    return Encoder(encoder, decoder, about)


def _graph(file: Path, threads: int | None) -> tuple[Any, dict[str, Any]]:
    """Return the session of a graph, and what the graph says of itself."""
    if not file.is_file():
        raise BadInput(
            "there is no such graph",
            where=str(file),
            expected=f"the folder of a tokenizer, with {ENCODER_FILE} and {DECODER_FILE}",
            do="export the tokenizer with export.onnx=true, or save(DIR, onnx=True) in Python",
        )
    onnxruntime = load("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores() if threads is None else threads
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


def _require(rows: np.ndarray, width: int, kinds: str, what: str, of: str) -> None:
    if rows.dtype.kind not in kinds:
        raise BadInput(f"{what} of {rows.dtype}", expected=of, do="convert them")
    if rows.ndim != 2 or rows.shape[1] != width:
        raise BadInput(
            f"{what} of shape {rows.shape}",
            expected=f"(n, {width})",
            do="take those that belong to this tokenizer",
        )
