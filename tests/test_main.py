"""`semantic-ids`: its commands are found without importing what the others need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from semantic_ids import __version__
from semantic_ids.__main__ import COMMANDS, commands, main

LIGHT = {"numpy", "click", "onnxruntime"}


def imported(words: list[str]) -> set[str]:
    """Top-level modules, Python's own left out, after a command line."""
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        f"sys.argv = ['semantic-ids', *{words!r}]\n"
        "from semantic_ids.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('IMPORTED', *{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return set(ran.stdout.splitlines()[-1].split()[1:]) - set(sys.stdlib_module_names)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["nonsense"]])
def test_help_and_version_import_no_command(words):
    assert imported(words) - {"semantic_ids"} <= {"click", "IMPORTED"}


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"run"}))
def test_a_command_imports_no_more_than_the_base_until_it_works(command):
    assert imported([command, "--help"]) - {"semantic_ids"} <= LIGHT


def test_every_command_is_listed_with_what_it_does():
    said = CliRunner().invoke(commands, ["--help"])
    assert said.exit_code == 0
    for name, (_, about) in COMMANDS.items():
        assert f"  {name} " in said.output and about.split()[0] in said.output


def test_every_command_is_where_the_table_says():
    context = commands.make_context("semantic-ids", ["run"])
    for name in commands.list_commands(context):
        assert commands.get_command(context, name).name == name
    assert commands.get_command(context, "nonsense") is None


def test_version_and_unknown_commands():
    assert CliRunner().invoke(commands, ["--version"]).output.strip().endswith(__version__)
    unknown = CliRunner().invoke(commands, ["nonsense"])
    assert unknown.exit_code == 2 and "No such command 'nonsense'" in unknown.output


@pytest.mark.parametrize("words", [[], ["--pipelines=qqq"], ["-p", "qqq"], ["run", "-p", "qqq"]])
def test_options_without_a_command_are_those_of_run(monkeypatch, words):
    given = []
    run = commands.get_command(commands.make_context("semantic-ids", ["run"]), "run")
    monkeypatch.setattr(run, "callback", lambda **options: given.append(options) or "made")
    assert main(words, standalone_mode=False) == "made"
    assert [options["pipelines"] or [options["pipeline"]] for options in given] == (
        [["qqq"]] if words else [[None]]
    )
