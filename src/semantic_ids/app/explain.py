"""One clear line for every error that a user can mend.

None for our own defects, which keep their traceback.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

import yaml
from kedro.config import MissingConfigException
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException

from semantic_ids.atomic import CLOSED, FULL
from semantic_ids.errors import BadInput, nearest
from semantic_ids.extras import named
from semantic_ids.parameters import RUNTIME_PATHS, Parameters

NO_PATHS = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR})
"""Error numbers of a path that no file can be at."""
CONFIGURATION_ERRORS = (
    MissingConfigException,
    ParameterValidationError,
    OmegaConfBaseException,
    yaml.YAMLError,
)
"""What Kedro raises about files in `conf`."""

_DOTTED = rf"(?:{'|'.join(Parameters.model_fields)})(?:\.[a-z_]+)+"
ADVISED = re.compile(rf"(?<![\w.=,-])({_DOTTED}|{'|'.join(RUNTIME_PATHS)})=(?=\S)")
"""The name of a parameter with `=` and a value, where it does not follow `--params=`."""

ARCHIVE_ERRORS = (tarfile.ReadError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error)
"""What Python raises about a packed configuration."""

CATALOG_MODULES = ("kedro.io.core", "kedro.io.data_catalog", "kedro.io.catalog_config_resolver")
"""An error from here, unless it is of loading or saving, is about what a catalog says."""

SELECTION_MODULES = ("kedro.pipeline.pipeline", "kedro.config.omegaconf_config")
"""A `ValueError` from here is about the nodes, tags or keys that the user named."""


def explain(error: BaseException) -> str | None:
    """Return the line to show, or None where the traceback should be seen.

    Kedro wraps what happens in a dataset into `DatasetError`, so the causes of an error are
    searched as well.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, BadInput):
            return in_the_shell(cause)
        if missing := named(cause):
            return str(missing)
    for cause in causes:
        if message := _surroundings(cause) or _configuration(cause):
            return message
    absent = next((cause for cause in causes if isinstance(cause, FileNotFoundError)), None)
    if absent is not None and isinstance(error, DatasetError):
        return str(
            BadInput(
                f"{absent.filename or absent} does not exist",
                do="run the stage that makes it, or 'tokenize' for all",
            )
        )
    return None


def in_the_shell(error: BadInput) -> str:
    """Return the line of an error in the words of `kedro run`.

    The core says `take tokenizer.device=auto` and names an artifact to make again, which is as good
    advice in Python; here that is `take --params=tokenizer.device=auto` and the pipeline that makes
    the artifact.
    """
    advice = [ADVISED.sub(r"--params=\1=", error.do)] if error.do else []
    if error.make:
        advice.append(f"run the pipeline '{stage_of(error.make)}' first, or 'tokenize' for all")
    if error.remake:
        stage = stage_of(error.remake)
        advice.append(
            f"run the pipeline '{stage}' again (and those after it), or 'tokenize' for all"
        )
    return str(
        BadInput(
            error.found, where=error.where, expected=error.expected, do=", or ".join(advice) or None
        )
    )


def stage_of(artifact: str) -> str:
    """Return the smallest pipeline that makes an artifact; `tokenize` where none says so."""
    from kedro.framework.project import pipelines

    makers = [name for name, found in pipelines.items() if artifact in found.all_outputs()]
    return min(makers, key=lambda name: len(pipelines[name].nodes), default="tokenize")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it came from, the outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _surroundings(error: BaseException) -> str | None:
    """Explain a full disk and a folder that may not be written to."""
    number = getattr(error, "errno", None)
    if number in FULL or "No space left on device" in str(error):
        where = getattr(error, "filename", None)
        return str(
            BadInput(
                "no space left on device",
                where=where,
                do="free some, or write elsewhere with --params=data_root=DIR",
            )
        )
    if isinstance(error, UnicodeEncodeError):
        return str(
            BadInput(
                f"{error.object!r} cannot be written in the encoding of this terminal"
                f" ({error.encoding})",
                do="set PYTHONUTF8=1, or a locale with UTF-8",
            )
        )
    if isinstance(error, OSError) and number in NO_PATHS:
        return str(
            BadInput(
                f"this path cannot be used: {os.strerror(number).lower()}",
                where=f"…{str(error.filename)[-80:]}",
                do="give another one",
            )
        )
    if isinstance(error, OSError) and number in CLOSED:
        return str(
            BadInput(
                str(error),
                do="grant the permission, or write elsewhere with --params=data_root=DIR",
            )
        )
    return None


def _configuration(error: BaseException) -> str | None:
    """Explain what Kedro says of configuration, pipeline names and the choice of nodes."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = " ".join(str(said).split())  # of a KeyError str makes a quotation
    if isinstance(error, CONFIGURATION_ERRORS):
        return text
    if isinstance(error, ARCHIVE_ERRORS) or text.startswith("Compressed file ended"):
        return str(
            BadInput(
                f"cannot be read: {text}",
                where="--conf-source",
                expected="a folder, a .tar.gz or a .zip",
                do="pack the configuration again with 'kedro package'",
            )
        )
    if isinstance(error, (DatasetError, KeyError)) and _raised_in(error) in CATALOG_MODULES:
        return (
            None if text.startswith("Failed while") else f"catalog: {text.partition(' Hint:')[0]}"
        )
    if isinstance(error, ValueError) and text.startswith("Failed to find the pipeline named"):
        return _unknown_pipeline(text.split("'")[1])
    if isinstance(error, ValueError) and _raised_in(error) in SELECTION_MODULES:
        return _selection(text)
    return None


def _selection(text: str) -> str:
    """Explain a choice of nodes, tags or datasets that selects nothing."""
    if text.startswith("Pipeline contains no nodes"):
        return str(
            BadInput(
                "nothing is left to run: no node has all that was asked for",
                expected="--tags, --nodes, --from-nodes and the like that leave at least one",
                do="leave some of them out",
            )
        )
    found = re.search(r"does not contain (nodes|datasets) named [\[{]'([^']*)'", text)
    return _not_selected(found[1].removesuffix("s"), found[2]) if found else text


def _not_selected(kind: str, name: str) -> str:
    """Explain a node or a dataset that is not in the pipelines that were asked for."""
    from kedro.framework.project import pipelines

    names = {
        pipeline: {node.name for node in found.nodes} if kind == "node" else found.datasets()
        for pipeline, found in pipelines.items()
    }
    having = sorted(p for p, found in names.items() if name in found and p != "__default__")
    known = sorted(n for n in set().union(*names.values()) if not n.startswith("params:"))
    return str(
        BadInput(
            f"{kind} '{name}' is not in the pipelines that were asked for",
            do=f"take --pipelines={' or '.join(having)}",
        )
        if having
        else BadInput(
            f"there is no {kind} '{name}'{nearest(name, known)}",
            expected=f"one of {', '.join(known)}",
        )
    )


def _unknown_pipeline(name: str) -> str:
    from kedro.framework.project import pipelines

    known = sorted(pipelines)
    return str(
        BadInput(
            f"unknown pipeline '{name}'{nearest(name, known)}",
            expected=f"one of {', '.join(known)}",
        )
    )


def _raised_in(error: BaseException) -> str:
    """Return the name of the module that raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
