"""The graphs of a tokenizer as MLflow models: logged into the run that made them, and registered.

Models from code: a file of Python and the graphs, no pickle. Imported only where a model is logged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from semantic_ids.app.hooks.server import require_answer
from semantic_ids.runtime import Encoder, load_encoder
from semantic_ids.runtime.session import DECODER_FILE, ENCODER_FILE
from semantic_ids.tokenizers.format import CONFIG_FILE, MANIFEST_FILE, read_provenance

if TYPE_CHECKING:
    from semantic_ids.export.options import ExportOptions

CODE = Path(__file__).parents[1] / "mlflow_model.py"
"""What MLflow copies into a model and runs there."""
ENCODER, DECODER = "semantic_ids", "semantic_ids_decoder"
"""Names of the two models in the run; in the registry the first is what the option says."""
REQUIREMENTS = ("numpy", "onnxruntime")


def log_models(run_id: str, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Log the encoder and the decoder of a tokenizer into a run, which need not be active.

    Args:
        run_id: Of the run.
        folder: The tokenizer's, with its graphs, which are checked.

    Returns:
        Name of each model → its id, and the tags that both have.

    Raises:
        BadInput: A graph is missing, damaged, or of another tokenizer.
        MlflowException: MLflow could not be written to.
    """
    encoder = load_encoder(folder, threads=1)
    vectors = np.ones((1, encoder.dim), dtype=np.float32)  # never those of the user
    codes = encoder.encode(vectors)
    made_from = read_provenance(folder)
    tags = {"kind": encoder.kind, "content.tokenizer": encoder.content}
    tags |= {"fingerprint.tokenizer": made_from.fingerprint} if made_from else {}
    beside = {
        name: str(folder / file)
        for name, file in (("config", CONFIG_FILE), ("manifest", MANIFEST_FILE))
        if (folder / file).is_file()
    }
    encodes, decodes = str(folder / ENCODER_FILE), str(folder / DECODER_FILE)
    there = beside | {"graph": encodes, "inverse": decodes}
    back = beside | {"graph": decodes, "inverse": encodes}
    made = {
        ENCODER: _log(run_id, ENCODER, there, vectors, _signature(encoder), tags),
        DECODER: _log(run_id, DECODER, back, codes, _signature(encoder, back=True), tags),
    }
    return made, tags


def register(
    models: Mapping[str, str],
    run_id: str,
    options: ExportOptions,
    tags: Mapping[str, str],
    registry: str | None,
    seconds: float,
) -> str:
    """Make the models of a run the newest versions of registered ones; return what was done.

    Args:
        models: Name of each model in the run → its id.
        run_id: Of the run.
        options: They say how the registered ones are called, and which alias names a version.
        tags: Of the versions.
        registry: URI of the registry; where runs are kept, if None.
        seconds: How long a registry of its own has to answer.

    Raises:
        ConnectionError: It did not work; the models stay in their run.
    """
    done = []
    try:
        require_answer(registry or "", seconds)
        client = mlflow.MlflowClient(registry_uri=registry)
        for model, model_id in models.items():
            name = options.registered_model + model.removeprefix(ENCODER)
            version = _new_version(client, name, model_id, run_id, dict(tags))
            if options.model_alias:
                client.set_registered_model_alias(name, options.model_alias, version)
            done.append(f"{name} version {version}")
    except Exception as error:
        kept = ", ".join(f"models:/{model_id}" for model_id in models.values())
        raise ConnectionError(
            f"not registered as '{options.registered_model}', but kept in the run ({kept}): {error}"
        ) from error
    alias = f", from now on @{options.model_alias}" if options.model_alias else ""
    return f"MLflow models registered: {', '.join(done)}{alias}"


def _new_version(
    client: mlflow.MlflowClient, name: str, model_id: str, run_id: str, tags: dict[str, str]
) -> str:
    """Register one model and return the number of its version."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise
    made = client.create_model_version(
        name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id
    )
    known = json.dumps([{"name": name, "version": made.version}])
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: known})  # the page links by it
    return str(made.version)


def _signature(encoder: Encoder, *, back: bool = False) -> ModelSignature:
    vectors = TensorSpec(np.dtype("float32"), (-1, encoder.dim))
    codes = TensorSpec(np.dtype("int32"), (-1, len(encoder.codebook_sizes)))
    given, made = (codes, vectors) if back else (vectors, codes)
    return ModelSignature(Schema([given]), Schema([made]))


def _log(
    run_id: str,
    name: str,
    files: dict[str, str],
    example: np.ndarray,
    signature: ModelSignature,
    tags: dict[str, str],
) -> str:
    """Log one model and return its id."""
    options: dict[str, Any] = {
        "python_model": str(CODE),
        "artifacts": files,
        "signature": signature,
        "input_example": example,
        "pip_requirements": [f"{package}=={metadata.version(package)}" for package in REQUIREMENTS],
    }
    made = Model.log(None, name=name, flavor=mlflow.pyfunc, run_id=run_id, tags=tags, **options)
    return str(made.model_id)
