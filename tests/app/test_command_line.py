"""`kedro run` of this project: options, exit codes, and one line for what the user can mend."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from tests.probe import Project

from semantic_ids.app.explain import explain
from semantic_ids.cli import cli, run
from semantic_ids.errors import BadInput

UNTRACKED = "tracking.enabled=false"
SIGNED = "https://bob:pa55word@host/a/emb.parquet?sig=0123456789abcdef0123"


@pytest.fixture
def kedro(tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """Call `kedro run` in a folder of its own."""
    with Project(tmp_path / "project").entered():
        yield lambda *arguments: CliRunner().invoke(cli, ["run", *arguments])


def test_run_takes_every_option_of_kedro() -> None:
    assert [parameter.opts for parameter in run.params] == [
        parameter.opts for parameter in kedro_run.params
    ]


@pytest.mark.parametrize(
    "options", [("--pipeline=tokenize",), ("-p", "tokenize"), ("--pipelines=tokenize",), ()]
)
@pytest.mark.filterwarnings("error::kedro.KedroDeprecationWarning")
def test_every_spelling_of_a_pipeline_runs_without_a_warning(
    kedro: Callable[..., Result], options: tuple[str, ...]
) -> None:
    result = kedro(*options, f"--params={UNTRACKED}")
    assert result.exit_code == 0, result.output
    assert "08_reporting/metrics.json" in result.stdout
    assert "deprecated" not in result.output


def test_dotted_parameters_lists_and_paths_reach_the_run(kedro: Callable[..., Result]) -> None:
    result = kedro(
        f"--params={UNTRACKED},tokenizer.codebook_sizes=[4,8],tokenizer.kind=rq_vae",
        "--params=data_root=elsewhere #2,embeddings=my/x.parquet",
    )
    assert result.exit_code == 0, result.output
    assert Path("elsewhere #2/08_reporting/metrics.json").exists()
    log = next(Path("logs").glob("*_x_rq_vae.log")).read_text()
    assert '"codebook_sizes":[4,8]' in log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--env=tset"],
            (
                "unknown environment 'tset'; the nearest is 'test'; expected one of base,"
                " compare_ids, faiss, faiss_gpu, lc_rec, local, "
            ),
        ),
        (
            ["--pipeline=tokenise"],
            (
                "unknown pipeline 'tokenise'; the nearest is 'tokenize'; expected one of"
                " __default__, tokenize."
            ),
        ),
        (
            ["--pipelines=qqq,tokenize"],
            "unknown pipeline 'qqq'; expected one of __default__, tokenize.",
        ),
        (
            ["--params=tokeniser.kind=rq_vae"],
            "--params: unknown parameter 'tokeniser.kind'; the nearest is 'tokenizer.kind'.",
        ),
        (
            ["--params=embedings=/nope"],
            "--params: unknown parameter 'embedings'; the nearest is 'embeddings'.",
        ),
        (
            ["--params=tokenizer.seed=x"],
            "--params: parameter 'tokenizer.seed' is 'x', expected a valid integer.",
        ),
        (["--runner=ParallelRunner"], "the runner 'ParallelRunner' is refused: the stages"),
        (["-r", "ThreadRunner"], "the runner 'ThreadRunner' is refused: the stages"),
        (["--runner=None"], "there is no runner 'None'"),
        (["--async"], "asynchronous loading and saving is refused: the stages"),
        (
            ["--runner-params=is_async=True"],
            "asynchronous loading and saving is refused: the stages",
        ),
        (["--nodes=nope"], "nope"),
        (["--tags=nope"], "nothing is left to run"),
        (["--from-inputs=nope"], "nope"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(
    kedro: Callable[..., Result], options: list[str], message: str
) -> None:
    result = kedro(*options)
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not Path("data").exists()


def test_broken_yaml_is_one_line(kedro: Callable[..., Result]) -> None:
    Path("conf/local/parameters.yml").write_text("tokenizer: {seed: 3")
    result = kedro()
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert "conf/local/parameters.yml" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--params=tokenizer.kind"],
        ["--params==3"],
        ["--params=a=${"],
        ["--nonsense"],
        ["--config=nowhere.yml"],
        ["--conf-source=nowhere"],
        ["argument"],
    ],
)
def test_a_malformed_command_line_is_exit_code_2(
    kedro: Callable[..., Result], options: list[str]
) -> None:
    result = kedro(*options)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Usage: ")
    assert result.stdout == ""


def test_a_config_file_without_a_section_for_run_is_exit_code_2(
    kedro: Callable[..., Result],
) -> None:
    Path("run.yml").write_text("pipelines: tokenize")
    assert kedro("--config=run.yml").exit_code == 2


def test_a_defect_keeps_its_traceback(
    kedro: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE", "defect")
    result = kedro(f"--params={UNTRACKED}")
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Raise and catch, as an error gets its traceback and its cause."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_bad_input_is_found_behind_what_kedro_wraps_it_in() -> None:
    bad = BadInput("x")
    assert explain(DatasetError("outer").with_traceback(None)) is None
    assert explain(raised(DatasetError("outer"), raised(DatasetError("inner"), bad))) == "x."
    try:
        try:
            raise bad
        except BadInput:
            raise RuntimeError("while handling")  # noqa: B904 - without a cause, on purpose
    except RuntimeError as error:
        assert explain(error) == "x."


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "/x/y: no space left on device; free some",
        ),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "no space left on device; free some",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "Permission denied: '/x/y'; grant the permission",
        ),
        (MissingConfigException("No files\n  here"), "No files here"),
        (ValueError("a defect"), None),
        (FileNotFoundError(errno.ENOENT, "no", "/x"), None),
    ],
)
def test_surroundings_and_configuration(error: Exception, message: str | None) -> None:
    line = explain(raised(error))
    assert line is None if message is None else message in line


def test_an_artifact_that_is_not_there() -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file", "/x/codes.parquet")
    assert (
        explain(raised(DatasetError("outer"), missing))
        == "/x/codes.parquet does not exist; run the stage that makes it, or 'tokenize' for all."
    )


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError("1"), RuntimeError("2")
    first.__cause__, second.__cause__ = second, first
    assert explain(first) is None


@pytest.mark.parametrize(
    ("core", "shell"),
    [
        ("take tokenizer.device=auto", "take --params=tokenizer.device=auto"),
        ("--params=items=none, or items=PATH", "--params=items=none, or --params=items=PATH"),
        ("write elsewhere with data_root=DIR", "write elsewhere with --params=data_root=DIR"),
        (
            "see tokenizer.rq_vae.network.hidden and a.b=c",
            "see tokenizer.rq_vae.network.hidden and a.b=c",
        ),
    ],
)
def test_advice_of_the_core_is_put_into_the_words_of_the_command_line(core, shell):
    error = BadInput("x", where="tokenizer.device=cuda", expected="y", do=core)
    assert explain(error) == f"tokenizer.device=cuda: x; expected y; {shell}."


@pytest.mark.parametrize(
    ("artifact", "stage"),
    [
        ("embeddings", "ingest"),
        ("split", "sample"),
        ("tokenizer", "train"),
        ("training_history", "train"),
        ("codes", "identify"),
        ("semantic_ids", "identify"),
        ("semantic_id_mappings", "export"),
        ("faiss_index", "export"),
        ("onnx_graphs", "export"),
        ("trie", "export"),
        ("items_by_id", "export"),
        ("metrics", "evaluate"),
        ("nobody_makes_it", "tokenize"),
    ],
)
def test_an_artifact_is_made_by_the_smallest_pipeline_that_does(artifact, stage, root) -> None:
    bootstrap_project(root)
    again = f"run the pipeline '{stage}' again (and those after it), or 'tokenize' for all"
    assert explain(BadInput("x", remake=artifact)) == f"x; {again}."
    assert explain(BadInput("x", do="mend it", remake=artifact)) == f"x; mend it, or {again}."
    first = f"run the pipeline '{stage}' first, or 'tokenize' for all"
    assert explain(BadInput("x", make=artifact)) == f"x; {first}."


def test_in_python_an_artifact_is_named_where_there_is_no_other_advice() -> None:
    assert str(BadInput("x", remake="codes")) == "x; make 'codes' again."
    assert str(BadInput("x", make="codes")) == "x; make 'codes' first."
    assert str(BadInput("x", do="save it", remake="tokenizer")) == "x; save it."


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{filepath: x}", "Error: catalog: An exception occurred when parsing config for dataset"),
        ("{type: text.TextDataset, filepath: x, credentials: me}", "Unable to find credentials"),
    ],
)
def test_an_entry_of_the_users_own_that_kedro_cannot_read_is_one_line(
    kedro: Callable[..., Result], entry: str, message: str
) -> None:
    Path("conf/local/catalog.yml").write_text(f"mine: {entry}")
    result = kedro(f"--params={UNTRACKED}")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert message in result.stderr


@pytest.mark.parametrize("options", ["tell", "bad=1,embeddings"])
def test_no_message_shows_a_secret(
    kedro: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    """Neither the traceback of a defect nor the line of a refusal."""
    monkeypatch.setenv("PROBE", "tell-input")
    monkeypatch.setattr(sys, "argv", ["kedro", SIGNED])
    result = kedro(f"--params={UNTRACKED},{options.replace('tell', 'embeddings')}={SIGNED}")
    assert result.exit_code == 1
    assert "pa55word" not in result.output
    assert "0123456789abcdef0123" not in result.output
    if options == "tell":
        assert "Traceback" in result.output
        assert "a defect of ours with https://***@host/a/emb.parquet?***" in result.output


def test_a_command_line_that_cannot_be_read_shows_no_secret(kedro: Callable[..., Result]) -> None:
    result = kedro(f"--params=data_root:{SIGNED}", f"--unknown={SIGNED}")
    assert result.exit_code == 2
    assert "pa55word" not in result.output


@pytest.mark.parametrize("command", ["lab", "notebook", "setup"])
def test_jupyter_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("semantic_ids.extras.find_spec", lambda _: None)
    result = CliRunner().invoke(cli, ["jupyter", command])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert "is not installed; expected the extra" in result.stderr
    assert "pip install 'semantic-ids[jupyter]'" in result.stderr


@pytest.mark.parametrize("start", [b"no archive", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"])
@pytest.mark.parametrize("name", ["conf.tar.gz", "conf.tgz", "conf.zip"])
def test_a_packed_configuration_that_cannot_be_read_is_one_line(
    kedro: Callable[..., Result], name: str, start: bytes
) -> None:
    Path(name).write_bytes(start * 100)
    result = kedro(f"--conf-source={name}")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert "--conf-source: cannot be read: " in result.stderr
