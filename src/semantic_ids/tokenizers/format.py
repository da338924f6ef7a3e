"""A fitted tokenizer on disk: a folder of three files, and two more where they are wanted.

`config.json`: `format` (the number below), `kind`, `dim`, `fitted_rows` (it learned from the first
so many of the rows it was given), `codebook_sizes`, `seed`, `preprocess` and `options`, as the
tokenizer was made with. `model.safetensors`: float32 tensors by name,

    codebook.<level>        (K_l, d)     levels count from 1
    price.<level>           (K_l,)       where codes have prices
    preprocess.mean         (D,)
    preprocess.scale        (1,)         float64
    preprocess.axes         (D, W)       where vectors are rotated, with
    preprocess.whitening    (W,)         float64
    encoder.*, decoder.*                 where there is a network

`manifest.json`, written last, says where the tokenizer comes from; it is absent where nobody knows.

`encoder.onnx` and `decoder.onnx` are the same tokenizer as graphs that run without torch
(`workflows.graphs`). They are written afterwards, and go with the folder when it is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semantic_ids.artifacts import Provenance
from semantic_ids.atomic import atomic_folder, left_behind, recover
from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
"""Rises when a folder can no longer be read as before; others are refused. 1 had no groups."""
CONFIG_FILE, MODEL_FILE, MANIFEST_FILE = "config.json", "model.safetensors", "manifest.json"
GRAPH_FILES = {"encoder": "encoder.onnx", "decoder": "decoder.onnx"}
FILES = {CONFIG_FILE, MODEL_FILE, MANIFEST_FILE, *GRAPH_FILES.values()}


def write(
    directory: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    provenance: Provenance | None,
) -> None:
    """Write a folder, whole or not at all; an older tokenizer there is replaced.

    Raises:
        BadInput: There is a folder with other files, no space left, or it may not be written.
    """
    from safetensors.torch import save_file

    directory = Path(directory)
    _require_ours(directory)
    with atomic_folder(directory) as folder:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            folder / MODEL_FILE,
        )
        _write_json(folder / CONFIG_FILE, dict(config))
        if provenance is not None:
            _write_json(folder / MANIFEST_FILE, provenance.to_json(), sort_keys=True)


def read_config(directory: str | Path) -> dict[str, Any]:
    """Read config.json.

    Raises:
        BadInput: It is missing, no JSON, or of another format.
    """
    recover(directory)
    file = Path(directory) / CONFIG_FILE
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(
            "there is no tokenizer",
            where=str(directory),
            expected=f"a folder with {CONFIG_FILE} and {MODEL_FILE}",
            do="save one there",
            make="tokenizer",
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error
    if not isinstance(config, dict):
        raise _damaged(file, "it holds no object")
    found = config.get("format")
    if found != FORMAT:
        raise BadInput(
            f"a tokenizer of format {found}",
            where=str(file),
            expected=f"format {FORMAT}",
            do="train it again"
            if isinstance(found, int) and found < FORMAT
            else "take the version of semantic-ids that wrote it, or a newer one",
        )
    return config


def read_tensors(directory: str | Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the tensors by name, on the CPU; `config` says how large they are.

    Raises:
        BadInput: One is missing, damaged, or of another size than the configuration says.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(directory) / MODEL_FILE
    try:
        tensors = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise _damaged(file, error) from error
    for name, size in _sizes(config).items():
        if name not in tensors:
            raise _damaged(file, f"'{name}' is missing")
        if len(tensors[name]) != size:
            raise _damaged(file, f"'{name}' has {len(tensors[name])} rows where {size} belong")
    return tensors


def read_provenance(directory: str | Path) -> Provenance | None:
    """Read where a tokenizer comes from; None where it does not say.

    Raises:
        BadInput: The manifest is damaged.
    """
    file = Path(directory) / MANIFEST_FILE
    try:
        return Provenance.from_json(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error


def _sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """Return how many rows the tensors that every tokenizer has must have."""
    levels = {f"codebook.{i}": k for i, k in enumerate(config["codebook_sizes"], start=1)}
    return {**levels, "preprocess.mean": config["dim"], "preprocess.scale": 1}


def _require_ours(directory: Path) -> None:
    """Refuse to replace what is no tokenizer."""
    recover(directory)
    if not directory.is_dir():
        return
    killed = [path for file in FILES for path in left_behind(directory / file)]
    found = {child.name for child in directory.iterdir()} - {path.name for path in killed}
    if not found <= FILES:
        raise BadInput(
            f"the folder holds other files, such as '{min(found - FILES)}'",
            where=str(directory),
            expected="a new folder, an empty one, or one with an older tokenizer",
            do="save to another folder",
        )


def _write_json(file: Path, values: dict[str, Any], *, sort_keys: bool = False) -> None:
    file.write_text(json.dumps(values, indent=2, sort_keys=sort_keys) + "\n", encoding="utf-8")


def _damaged(file: Path, reason: object) -> BadInput:
    return BadInput(
        f"the tokenizer cannot be read: {reason}",
        where=str(file),
        do="save it again",
        remake="tokenizer",
    )
