"""Environments, paths and runners are checked before a run begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.runner import ThreadRunner
from tests.probe import Project

from semantic_ids.app.hooks.configuration import _environments, refuse_parallel
from semantic_ids.errors import BadInput

QUIET = {"tracking": {"enabled": False}}


@pytest.mark.parametrize("env", ["rq-vae", "tset", "rq_vae,test"])
def test_an_unknown_environment_is_named_with_those_there_are(
    in_project: Project, env: str
) -> None:
    with pytest.raises(
        BadInput,
        match=(
            rf"unknown environment '{env}'; the nearest is '\w+'; expected one of base,"
            r" compare_ids, faiss, faiss_gpu, lc_rec, local, plum, .*ablations/…"
        ),
    ):
        in_project.session(env=env)
    assert not (in_project.folder / "logs").exists()


@pytest.mark.parametrize("env", sorted(_environments(Path(__file__).parents[3] / "conf")))
def test_every_environment_is_valid(in_project: Project, env: str) -> None:
    assert in_project.session(env=env, **QUIET)


def test_no_configuration_at_all(in_project: Project) -> None:
    (in_project.folder / "conf").rename(in_project.folder / "config")
    with pytest.raises(
        BadInput, match=r"there is no configuration in .*/conf; run inside the project"
    ):
        in_project.session()


@pytest.mark.parametrize(("value", "shown"), [(5, "5"), ("", "''"), (None, "None")])
def test_a_path_is_text(in_project: Project, value: object, shown: str) -> None:
    with pytest.raises(BadInput, match=f"'embeddings' is {shown}; expected a path"):
        in_project.session(embeddings=value)


def test_an_unknown_global_is_refused(in_project: Project) -> None:
    (in_project.folder / "conf/local/globals.yml").write_text("embedings: x.parquet")
    with pytest.raises(BadInput, match="unknown path 'embedings'; the nearest is 'embeddings'"):
        in_project.session()


def test_an_unknown_parameter_is_refused_before_anything_is_written(in_project: Project) -> None:
    with pytest.raises(BadInput, match=r"unknown parameter 'tokenizer.rq_vae.epoch'"):
        in_project.session(tokenizer={"rq_vae": {"epoch": 3}})
    assert not (in_project.folder / "data").exists()


@pytest.mark.parametrize(
    ("runner", "is_async"),
    [("ParallelRunner", False), ("kedro.runner.ThreadRunner", False), ("None", True)],
)
def test_parallel_runs_are_refused_with_the_reason(runner: str, is_async: bool) -> None:
    with pytest.raises(BadInput, match=r"refused: the stages read each other's files"):
        refuse_parallel(runner, is_async)


@pytest.mark.parametrize("runner", ["None", "SequentialRunner", "kedro.runner.SequentialRunner"])
def test_sequential_runs_are_allowed(runner: str) -> None:
    refuse_parallel(runner)


def test_a_parallel_session_is_refused(in_project: Project) -> None:
    from kedro.framework.session import KedroSession

    with (
        KedroSession.create(project_path=in_project.folder, runtime_params=QUIET) as session,
        pytest.raises(BadInput, match="ThreadRunner"),
    ):
        session.run(runner=ThreadRunner())


@pytest.mark.parametrize("folder", ["s3://bucket/x", "~/out", "a{b}c"])
def test_what_is_no_plain_folder_is_no_place_to_write(in_project: Project, folder: str) -> None:
    with pytest.raises(BadInput, match=r"'data_root' is .* looks like"):
        in_project.session(data_root=folder)


@pytest.mark.parametrize(("text", "value"), [("false", False), ("true", True)])
def test_a_node_that_takes_one_parameter_gets_what_was_checked(
    in_project: Project, text: str, value: bool
) -> None:
    given = {"tokenizer": {"preprocess": {"normalize": text}}}
    with KedroSession.create(project_path=in_project.folder, runtime_params=given) as session:
        catalog = session.load_context().catalog
    assert catalog.load("params:tokenizer.preprocess.normalize") is value
    assert catalog.load("params:ingest.id_column") == "ItemID"
