"""A log file for every run, `logs/<time>_<dataset>_<kind>.log`, whether it succeeds or fails."""

from __future__ import annotations

import atexit
import logging
import re
import sys
from collections.abc import Generator
from datetime import datetime
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from semantic_ids import __version__
from semantic_ids.masking import HIDDEN, mask

if TYPE_CHECKING:
    from semantic_ids.app.hooks.configuration import ConfigurationHooks

logger = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Stay silent: on a full disk, the run's own message must not be buried."""


class LogHooks:
    """Open the file before any other hook of the run, and close it after all of them.

    Attributes:
        path: The log of the current run, or of the one before; None where it could not be
            opened.
    """

    def __init__(self, configuration: ConfigurationHooks) -> None:
        self._configuration = configuration
        self._handler: logging.Handler | None = None
        self.path: Path | None = None

    @hook_impl(wrapper=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> Generator[None, Any, Any]:
        """Open the file; should a hook refuse the run, that is in the file too."""
        self._abandon()
        self._open()
        self._write(logging.INFO, "semantic-ids %s: %s", __version__, command())
        self._write(
            logging.INFO,
            "environment: %s; paths: %s",
            self._configuration.environment,
            self._configuration.paths,
        )
        self._write(
            logging.INFO, "parameters: %s", self._configuration.parameters.model_dump_json()
        )
        try:
            return (yield)
        except BaseException as error:
            self._fail(error)
            raise

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Close the file."""
        try:
            result = yield
        except BaseException as error:
            self._fail(error)
            raise
        self._write(logging.INFO, "The run has finished.")
        self._close()
        return result

    @hook_impl(wrapper=True)
    def on_pipeline_error(self, error: Exception) -> Generator[None, Any, Any]:
        """Write the error with its traceback, let the other hooks see it, and close the file."""
        self._write(logging.ERROR, "The run has failed: %s", error, exc_info=error)
        try:
            return (yield)
        finally:
            self._close()

    def _open(self) -> None:
        folder = (
            Path(self._configuration.context.project_path)
            / self._configuration.parameters.logs.folder
        )
        dataset = dataset_name(self._configuration.paths["embeddings"])
        name = f"{datetime.now():%Y%m%dT%H%M%S}_{dataset}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path = _reserve(folder, f"{name}_{self._configuration.parameters.tokenizer.kind}")
        except OSError as error:
            self.path = None
            logger.warning("No log file for this run: %s.", error)
            return
        self._handler = _LogFile(self.path, encoding="utf-8")
        self._handler.setLevel(logging.INFO)
        self._handler.setFormatter(logging.Formatter(FORMAT))
        logging.getLogger().addHandler(self._handler)
        atexit.register(self._abandon)

    def _write(
        self, level: int, message: str, *values: object, exc_info: BaseException | None = None
    ) -> None:
        """Write to the file alone: what the terminal gets in another form."""
        if self._handler is not None:
            trace = (type(exc_info), exc_info, exc_info.__traceback__) if exc_info else None
            make = logging.getLogRecordFactory()  # the one that masks secrets
            self._handler.handle(make(logger.name, level, __file__, 0, message, values, trace))

    def _fail(self, error: BaseException) -> None:
        self._write(logging.ERROR, "The run has failed: %s", error, exc_info=error)
        self._close()

    def _abandon(self) -> None:
        """Close the file of a run that was interrupted.

        Kedro calls no hook for Ctrl-C and exits.
        """
        self._write(logging.ERROR, "The run was killed.")
        self._close()

    def _close(self) -> None:
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
            self._handler = None
            atexit.unregister(self._abandon)


def dataset_name(embeddings: str) -> str:
    """Return a short name of the input for file and run names.

    The stem of the file, or the folder of a glob. Without what is secret in an address.
    """
    shown = mask(embeddings).replace(f"?{HIDDEN}", "").replace(f"{HIDDEN}@", "")
    parts = [part for part in PurePosixPath(shown).parts if not re.search(r"[*?\[]", part)]
    name = re.sub(r"\.(parquet|pq)$", "", parts[-1]) if parts else ""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "embeddings"


def command() -> str:
    """Return the command line of this process, with the name of the program and no secrets."""
    return " ".join([Path(sys.argv[0]).name, *map(mask, sys.argv[1:])])


def _reserve(folder: Path, name: str) -> Path:
    """Create an empty file of that name.

    Of runs that begin in the same second, the later ones get a number.
    """
    for number in count(1):
        path = folder / (f"{name}.log" if number == 1 else f"{name}_{number}.log")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError
