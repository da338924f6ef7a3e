"""Does the tracking server answer? Asked before MLflow is, which would try for minutes."""

from __future__ import annotations

import math
import os
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen


def limit_waiting(seconds: float) -> None:
    """Let MLflow wait only so long for its server, and try again only once, unless the user's
    environment says otherwise.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, math.ceil(seconds))))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def unanswered(uri: str, seconds: float) -> str:
    """Return why a remote server does not answer.

    Empty where it does, or where there is no server to ask (sqlite, a folder).

    Args:
        uri: Tracking URI, as in `mlflow.yml`.
        seconds: How long to wait.
    """
    if urlparse(uri).scheme not in ("http", "https"):
        return ""
    try:
        with urlopen(Request(f"{uri.rstrip('/')}/health"), timeout=seconds):
            return ""
    except HTTPError:
        return ""  # it answers; whether it lets us in is for MLflow to find out
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
