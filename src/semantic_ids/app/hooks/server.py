"""Can the tracking server or database be used? Asked before MLflow is, which would try for minutes.

Asked as MLflow will ask: with its user, password, token and certificates.
"""

from __future__ import annotations

import math
import os
import socket
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from semantic_ids.masking import mask

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""The ports of databases whose address names none."""


def limit_waiting(seconds: float) -> None:
    """Let MLflow wait only so long for its server, and try again only once, unless the user's
    environment says otherwise.

    Nor does it print the address of a run, in which a password may be, or bars of files copied.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, math.ceil(seconds))))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def is_remote(uri: str) -> bool:
    """Return whether runs are kept by a server, which also decides where it puts their files."""
    return uri.startswith(("http://", "https://", "databricks"))


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an sqlite database; None for every other place."""
    driver, _, file = uri.partition(":///")
    file = file.partition("?")[0]
    return Path(file) if file and driver.partition("+")[0] == "sqlite" else None


def unanswered(uri: str, seconds: float) -> str:
    """Return why runs cannot be kept there.

    Empty where they can, and where there is nothing to ask (a folder).

    Args:
        uri: Tracking URI, as in `mlflow.yml`.
        seconds: How long to wait.
    """
    try:
        if uri.startswith(("http://", "https://")):
            _ask_server(uri, seconds)
        elif file := sqlite_file(uri):
            _ask_sqlite(file, seconds)
        elif urlsplit(uri).scheme.partition("+")[0] in PORTS:
            _ask_database(uri, seconds)
    except Exception as error:
        return _reason(error)
    return ""


def require_answer(uri: str, seconds: float) -> None:
    """Raise `ConnectionError` where runs cannot be kept at a tracking URI."""
    if not (reason := unanswered(uri, seconds)):
        return
    if sqlite_file(uri):
        raise ConnectionError(f"the MLflow database {uri} cannot be written to ({reason})")
    what = "server" if is_remote(uri) else "database"
    raise ConnectionError(
        f"the MLflow {what} {mask(uri)} does not answer within {seconds:g} s ({reason})"
    )


def _ask_server(uri: str, seconds: float) -> None:
    """Raise unless it answers, whatever the answer: whether it lets us in MLflow finds out."""
    from mlflow.tracking._tracking_service.utils import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    http_request(
        get_default_host_creds(uri),
        "/health",
        "GET",
        max_retries=0,
        timeout=seconds,
        raise_on_status=False,
    )


def _ask_sqlite(file: Path, seconds: float) -> None:
    """Raise unless the database can be written to, or made."""
    if not file.exists():
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            return
    with closing(sqlite3.connect(file, timeout=seconds, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("PRAGMA user_version = 0")  # a write, which alone shows a read-only disk
        database.execute("ROLLBACK")


def _ask_database(uri: str, seconds: float) -> None:
    """Raise unless something listens there."""
    parts = urlsplit(uri)
    if parts.hostname:
        port = parts.port or PORTS[parts.scheme.partition("+")[0]]
        socket.create_connection((parts.hostname, port), timeout=seconds).close()


def _reason(error: BaseException) -> str:
    """Return what it came from in the end, of which a library may say a lot."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    text = " ".join(str(error).split()) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        text += "; name its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
    return text
