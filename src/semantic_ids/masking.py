"""Secrets in addresses are never shown: users, passwords and the queries of presigned URLs.

Every line that leaves the process, to a terminal, a log, MLflow or as an error, goes through
`mask`. What a library makes of an address may look different from what was typed (decoded, or
without its host), so that `remember` keeps the secrets of the addresses in use.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"

SHORTEST_PASSWORD, SHORTEST_VALUE = 6, 16
"""Characters of a remembered password, and of a value in a query. A shorter one could be part of
any word; where it stands in an address it is masked whatever its length."""

CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")
"""Schemes that write `container@account`, which is a place and no secret."""

_USER = re.compile(
    r"\b([a-z][a-z0-9+.-]*)://"
    r"([^\s/?#\"]*|[^\s/?#:@\"]*:(?!\d+(?:[/?#]|$))[^\s@\"]*)@",  # a raw / may be in a password
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]+"  # any query of a web address
    r"|(?<=[^\s?])\?(?=[^\s?&=/\"'<>]+=)[^\s\"'<>]+",  # elsewhere `?` may be a pattern
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"\b(x-(?:amz|goog)-[\w-]+|awsaccesskeyid|signature|sig|password|access_token|secret\w*)"
    r"(=)(?!\*\*\*)[^\s&\"',;]+"
    r"|\b(authorization)(['\"]?\s*[:=]\s*['\"]?)(?:\w+\s+)?[^\s\"']+",
    re.IGNORECASE,
)
_known: set[str] = set()


def mask(text: str) -> str:
    """Return the text with `***` in the place of users, passwords and queries of addresses."""
    for secret in sorted(_known, key=lambda secret: (-len(secret), secret)):
        text = text.replace(secret, HIDDEN)
    if "://" in text:
        text = _USER.sub(_without_user, text)
    if "?" in text:
        text = _QUERY.sub(lambda found: f"{found[1] or ''}?{HIDDEN}", text)
    return _PAIR.sub(lambda found: f"{found[1] or found[3]}{found[2] or found[4]}{HIDDEN}", text)


def mask_all(value: Any) -> Any:
    """Return a value with every string in it masked, in mappings and sequences too."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: mask_all(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [mask_all(inner) for inner in value]
    return value


def remember(address: str) -> None:
    """Mask the secrets of an address wherever they turn up from now on, decoded or encoded."""
    if "://" not in address:
        return
    user = _USER.match(address)
    if user and ":" in user[2]:
        _remember([user[2], user[2].partition(":")[2]], SHORTEST_PASSWORD)
    query = address.partition("?")[2]
    if "=" in query:
        values = (pair.partition("=")[2] for pair in query.split("&"))
        _remember([query, *values], SHORTEST_VALUE)


def _remember(secrets: Iterable[str], shortest: int) -> None:
    for secret in secrets:
        for form in (secret, unquote(secret), quote(unquote(secret), safe="")):
            if len(form) >= shortest:
                _known.add(form)


def mask_logs() -> None:
    """Mask every record of every logger, the text of its traceback too, whoever writes it."""
    plain = logging.getLogRecordFactory()
    if getattr(plain, "masks", False):
        return

    def masked(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _masked(plain(*args, **kwargs))

    masked.masks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(masked)


def _masked(record: logging.LogRecord) -> logging.LogRecord:
    try:
        text = record.getMessage()
    except Exception:  # a message that does not fit its values: logging itself reports it
        return record
    if (safe := mask(text)) != text:
        record.msg, record.args = safe, None
    if record.exc_info and record.exc_info[0] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if (safe := mask(trace)) != trace:
            record.exc_info, record.exc_text = None, safe
    return record


def _without_user(found: re.Match[str]) -> str:
    if found[1].lower() in CONTAINERS and ":" not in found[2]:
        return found[0]
    return f"{found[1]}://{HIDDEN}@"
