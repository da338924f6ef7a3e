"""Every shipped environment, laid over `conf/base`, is a complete and valid set of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from semantic_ids.app.hooks.effects import refuse_without_effect
from semantic_ids.codes import check_sizes
from semantic_ids.parameters import Parameters, flatten
from semantic_ids.settings import CONFIG_LOADER_ARGS
from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import clustered
from tests.grouped import within

CONF = Path(__file__).parents[1] / "conf"
ENVIRONMENTS = (
    "compare_ids",
    "faiss",
    "faiss_gpu",
    "lc_rec",
    "plum",
    "rq_kmeans_gpu",
    "rq_vae",
    "rq_vae_gpu",
    "rq_vae_mlp",
    "test",
    "tiger",
)
ABLATIONS = sorted(f"ablations/{folder.name}" for folder in (CONF / "ablations").iterdir())
SAMPLE_ITEMS = 9_403


def parameters(env: str) -> Parameters:
    loader = OmegaConfigLoader(conf_source=str(CONF), env=env, **CONFIG_LOADER_ARGS)
    return Parameters.model_validate(loader["parameters"])


def paths(values: dict, prefix: str = "") -> set[str]:
    below = {f"{prefix}{name}": value for name, value in values.items()}
    groups = [paths(value, f"{name}.") for name, value in below.items() if isinstance(value, dict)]
    return {name for name, value in below.items() if not isinstance(value, dict)}.union(*groups)


def test_these_are_all():
    folders = {
        folder.name for folder in CONF.iterdir() if folder.is_dir() and any(folder.glob("*.yml"))
    }
    assert folders - {"base", "local"} == set(ENVIRONMENTS)
    assert len(ABLATIONS) > 15


@pytest.mark.parametrize("env", [*ENVIRONMENTS, *ABLATIONS])
def test_environment_is_valid_and_fits_the_sample(env):
    values = parameters(env)
    refuse_without_effect(values)
    items = min(values.ingest.max_items or SAMPLE_ITEMS, SAMPLE_ITEMS)
    check_sizes(
        items, values.tokenizer.codebook_sizes, unique=values.identify.strategy == "reassign"
    )


@pytest.mark.parametrize("env", [*ENVIRONMENTS, *ABLATIONS])
def test_environment_names_known_parameters_once(env):
    """Soft merge would let a misspelt group stand beside the right one.

    And two files that set one value leave it to chance.
    """
    known = paths(parameters("base").model_dump())
    named = [
        paths(yaml.safe_load(file.read_text())) for file in (CONF / env).glob("parameters*.yml")
    ]
    assert set().union(*named) <= known
    assert sum(map(len, named)) == len(set().union(*named))


def test_what_the_environments_mean():
    tiger = parameters("tiger")
    vae = tiger.tokenizer.rq_vae
    assert (tiger.tokenizer.kind, vae.network.hidden, vae.network.latent, vae.loss.commitment) == (
        "rq_vae",
        [512, 256, 128],
        32,
        0.25,
    )
    assert (tiger.tokenizer.codebook_sizes, tiger.identify.strategy) == ([256, 256, 256], "suffix")
    gpu = {env: parameters(env).tokenizer for env in ("rq_vae_gpu", "rq_kmeans_gpu")}
    assert {env: (t.kind, t.device) for env, t in gpu.items()} == {
        "rq_vae_gpu": ("rq_vae", "cuda"),
        "rq_kmeans_gpu": ("rq_kmeans", "cuda"),
    }
    for env, device in (("faiss", "auto"), ("faiss_gpu", "cuda")):
        plain = parameters(env).tokenizer
        assert (plain.kind, plain.device, plain.rq_kmeans.engine) == ("rq_kmeans", device, "faiss")
        steps = plain.rq_kmeans
        assert steps.anneal_rounds == steps.refine_rounds == steps.unique_rounds == 0
        assert (steps.beam_size, steps.init) == (1, "random")
    assert parameters("rq_vae").tokenizer.kind == "rq_vae"
    assert not parameters("test").tracking.enabled


@pytest.mark.parametrize("env", ABLATIONS)
def test_an_ablation_changes_something_about_the_rq_vae_and_says_what(env):
    values, usual = (
        dict(flatten(parameters(name).tokenizer.model_dump())) for name in (env, "rq_vae")
    )
    changed = {name for name in values if values[name] != usual[name]}
    assert 1 <= len(changed) <= 5 and all(
        name.startswith("rq_vae.") or name == "codebook_sizes" for name in changed
    )
    assert (CONF / env / "parameters_tokenizer.yml").read_text().startswith(f"# --env={env}: ")


@pytest.mark.parametrize("env", [*ABLATIONS, "lc_rec", "plum", "rq_vae_mlp", "tiger"])
def test_published_set_ups_and_ablations_run(env):
    """All that they switch on, at a small size, for two epochs."""
    tokenizer = parameters(env).tokenizer
    small = {
        "hidden": [8] * len(tokenizer.rq_vae.network.hidden),
        "latent": 6,
        "epochs": 2,
        "plain_epochs": min(1, tokenizer.rq_vae.schedule.plain_epochs),
    }
    options = within(
        tokenizer.options,
        small
        | {
            "warmup_epochs": min(1, tokenizer.rq_vae.schedule.warmup_epochs),
            "batch_rows": 100,
            "collapse_below": 0.0,
        },
    )
    if "start" in options:
        options["start"] = options["start"] | {"anneal_rounds": 2}
    vectors = clustered(400, 12)
    fitted = fit_tokenizer(
        vectors,
        kind="rq_vae",
        codebook_sizes=[k // 32 for k in tokenizer.codebook_sizes],
        device="cpu",
        options=options,
    )
    assert fitted.encode(vectors).shape == (400, 3) and fitted.report["epochs"] == 2
