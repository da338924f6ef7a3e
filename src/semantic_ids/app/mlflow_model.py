"""The code of an MLflow model: MLflow copies this file into the model, and runs it from there.

It stands alone, with numpy, onnxruntime and MLflow, for where a model is served nothing else of
this project need be installed. So it refuses by itself what `semantic_ids.runtime` refuses, in the
same words: what onnxruntime would answer in silence. Nothing here imports it.
"""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

RUN_ROWS = 256
"""Rows of one run of a graph, whose scores stay in the processor's cache."""


class SemanticIds(PythonModel):
    """One graph of a tokenizer: vectors (n, D) → codes (n, L), or back.

    The artifact `graph` is the one that is run. What it is given tells which one it is.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a server answers several questions at a time
        self._session = onnxruntime.InferenceSession(
            context.artifacts["graph"], options, providers=["CPUExecutionProvider"]
        )
        known = self._session.get_modelmeta().custom_metadata_map
        self._dim, self._sizes, self._normalizes = (
            json.loads(known[f"semantic_ids.{name}"])
            for name in ("dim", "codebook_sizes", "normalizes")
        )
        self._given = self._session.get_inputs()[0].name
        self._made = self._session.get_outputs()[0].name

    def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN201 - MLflow would take hints for a schema of its own
        """Encode vectors (n, D) float32 → (n, L) int32, or decode codes.

        Raises:
            MlflowException: Rows that cannot be worked with, which HTTP answers with 400.
        """
        rows = np.asarray(model_input)
        encodes = self._given == "vectors"
        if encodes:
            _require(rows, self._dim, "iuf", "vectors", "numbers")
            rows = np.ascontiguousarray(rows, dtype=np.float32)
            _require_sound(rows, self._normalizes)
        else:
            _require(rows, len(self._sizes), "iu", "codes", "integers")
            _require_codes(rows, self._sizes)
            rows = np.ascontiguousarray(rows, dtype=np.int32)
        width, dtype = (len(self._sizes), np.int32) if encodes else (self._dim, np.float32)
        made = np.empty((len(rows), width), dtype=dtype)
        for begin in range(0, len(rows), RUN_ROWS):
            part = slice(begin, begin + RUN_ROWS)
            made[part] = self._session.run([self._made], {self._given: rows[part]})[0]
        return made


def _require(rows: np.ndarray, width: int, kinds: str, what: str, of: str) -> None:
    """Refuse an array of another shape, or of what are no numbers."""
    if rows.dtype.kind not in kinds:
        raise _bad(f"{what} of {rows.dtype}; expected {of}; convert them.")
    if rows.ndim != 2 or rows.shape[1] != width:
        raise _bad(
            f"{what} of shape {rows.shape}; expected (n, {width});"
            " take those that belong to this tokenizer."
        )


def _require_sound(vectors: np.ndarray, normalizes: bool) -> None:
    """Refuse vectors that have no codes, naming the first."""
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise _bad(
            f"row {bad.argmax()}: it holds NaN or infinite values; expected finite float32"
            " numbers; mend or drop that row."
        )
    zero = np.linalg.norm(vectors, axis=1) == 0
    if normalizes and zero.any():
        raise _bad(
            f"row {zero.argmax()}: it is a vector of zeros, which cannot be scaled to unit length;"
            " expected vectors with a length, for this tokenizer normalizes; mend or drop that row."
        )


def _require_codes(codes: np.ndarray, sizes: list[int]) -> None:
    """Refuse codes that are not there, naming the first row: −1 would decode as the last one."""
    bad = (codes < 0) | (codes >= np.array(sizes))
    if bad.any():
        row = int(bad.any(axis=1).argmax())
        level = int(bad[row].argmax())
        raise _bad(
            f"row {row}: code {codes[row, level]} of level {level + 1} is not in its codebook;"
            f" expected 0 to {sizes[level] - 1}; take codes of this tokenizer."
        )


def _bad(said: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(said)


set_model(SemanticIds())
