"""Run the program on bad input and take the line that it ends with."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bad_input.cases import CASES, Maker, Params
from tests.forks import ROOT, import_program, in_a_fork, program

PAGE = ROOT / "docs" / "bad-input.md"
BEGIN, END = "<!-- made by python -m tests.bad_input --write -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Line:
    """What a user sees.

    Attributes:
        section, what: What was wrong.
        status: Exit code.
        errors: The lines that begin with `Error: `, folders of this machine left out.
    """

    section: str
    what: str
    status: int
    errors: list[str]

    @property
    def is_one_line(self) -> bool:
        """Whether there is one line, and an exit code that says so."""
        return len(self.errors) == 1 and self.status in {1, 2}


def lines() -> Iterator[Line]:
    """Run all cases, each in a process of its own."""
    import_program()
    for section, cases in CASES.items():
        for what, make in cases.items():
            with tempfile.TemporaryDirectory(prefix="bad_input_") as folder:
                yield _line(section, what, make, Path(folder))


def _line(section: str, what: str, make: Maker, folder: Path) -> Line:
    output = folder / "terminal.txt"
    status = in_a_fork(lambda: program(_command(make(folder), folder)), output)
    text = output.read_text(errors="replace")
    errors = [line for line in text.splitlines() if line.startswith("Error: ")]
    return Line(section, what, status, [_shown(error, folder) for error in errors])


def _command(given: Params, folder: Path) -> list[str]:
    words, stage = given.pop("words", []), given.pop("stage", "check")
    params = {
        "data_root": folder / "data",
        "logs.folder": folder / "logs",
        "tracking.enabled": "false",
        "tokenizer.codebook_sizes": "16x16x16",
        **given,
    }
    if not any(word.startswith("--pipelines") for word in words):
        words = [f"--pipelines={stage}", *words]
    return [*words, "--params=" + ",".join(f"{name}={value}" for name, value in params.items())]


def _shown(error: str, folder: Path) -> str:
    error = error.replace(f"{folder}/", "").replace(str(folder), "…").replace(f"{ROOT}/", "")
    return re.sub(r"\s+", " ", error)


def tables(found: Iterable[Line]) -> str:
    """Write what was wrong and what was said, a table a section."""
    parts: dict[str, list[str]] = {}
    for line in found:
        said = "; ".join(line.errors).replace("|", "\\|")
        parts.setdefault(line.section, []).append(f"| {line.what} | `{said}` | {line.status} |")
    head = "| what | the line | exit code |\n|---|---|---|\n"
    return "\n".join(
        f"### {name}\n\n{head}" + "\n".join(rows) + "\n" for name, rows in parts.items()
    )


def replaced(page: str, made: str) -> str:
    """Return the page with the tables between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"
