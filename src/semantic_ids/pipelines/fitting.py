"""What the parameters of a run say of a tokenizer, in the words of the workflows."""

from __future__ import annotations

from semantic_ids.parameters import IdentifyParameters, TokenizerParameters
from semantic_ids.workflows.fitting import FitOptions


def fit_options(tokenizer: TokenizerParameters, identify: IdentifyParameters) -> FitOptions:
    """Return what is to be fitted, and for which IDs.

    `auto` becomes the device that is there, once for the stage.

    Raises:
        BadInput: There is no such device.
    """
    from semantic_ids.compute.devices import resolve

    return FitOptions(
        kind=tokenizer.kind,
        codebook_sizes=tuple(tokenizer.codebook_sizes),
        seed=tokenizer.seed,
        device=resolve(tokenizer.device).type,
        preprocess=tokenizer.preprocess.model_dump(),
        options=tokenizer.options,
        strategy=identify.strategy,
        candidates=identify.candidates,
    )
