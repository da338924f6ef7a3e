"""What is secret in an address is never shown."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from semantic_ids import masking
from semantic_ids.errors import BadInput
from semantic_ids.masking import mask, mask_all, mask_logs, remember

SIGNED = "https://bob:pa55word@host:80/a/emb.parquet?X-Amz-Signature=0123456789abcdef&X-Amz-Date=1"


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    before = set(masking._known)
    masking._known.clear()
    yield
    masking._known.clear()
    masking._known.update(before)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SIGNED, "https://***@host:80/a/emb.parquet?***"),
        (f"x: '{SIGNED}' is empty", "x: 'https://***@host:80/a/emb.parquet?***' is empty"),
        ("http://u:p@h/a@b.parquet", "http://***@h/a@b.parquet"),
        ("http://u:p/q?r#s@h/x", "http://***@h/x"),
        ("https://token@h", "https://***@h"),
        ("postgresql+psycopg://u:p@h:5432/db", "postgresql+psycopg://***@h:5432/db"),
        ("https://h/x?token", "https://h/x?***"),
        (
            "exceeded with url: /x.parquet?sig=a%2Fb (Caused by",
            "exceeded with url: /x.parquet?*** (Caused by",
        ),
        (
            "{'X-Amz-Signature': 1} x-amz-signature=ab&y",
            "{'X-Amz-Signature': 1} x-amz-signature=***&y",
        ),
        ("{'Authorization': 'Basic dTpw'}", "{'Authorization': '***'}"),
    ],
)
def test_users_passwords_and_queries_are_hidden(text: str, shown: str) -> None:
    assert mask(text) == shown
    assert mask(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/me@work/mlflow.db",
        "s3://bucket/part-?.parquet",
        "abfss://container@account.dfs.core.windows.net/emb.parquet",
        "http://host:8080/a@b.parquet",
        "does http://host/x answer? yes",
        "data/part-?.parquet",
        "42% of 3 items, C:\\data, tokens=true",
    ],
)
def test_everything_else_is_shown(text: str) -> None:
    assert mask(text) == text


def test_remembered_secrets_are_hidden_in_every_form() -> None:
    remember("https://u:p%40ss%20word@h/x?X-Amz-Credential=AKIA%2F2026%2Fus-east-1&v=1")
    for form in ("p%40ss%20word", "p@ss word", "AKIA%2F2026%2Fus-east-1", "AKIA/2026/us-east-1"):
        assert mask(f"the library says {form}!") == "the library says ***!"
    remember("https://u:short@h/x?format=parquet")
    assert mask("a short file.parquet") == "a short file.parquet"


def test_values_in_mappings_and_lists_are_hidden() -> None:
    assert mask_all({"a": [SIGNED, 1], "b": {"c": (SIGNED,)}, "d": None}) == {
        "a": [mask(SIGNED), 1],
        "b": {"c": [mask(SIGNED)]},
        "d": None,
    }


def test_bad_input_hides_them_in_all_its_parts() -> None:
    error = BadInput(f"{SIGNED} is empty", where=SIGNED, expected=SIGNED, do=f"copy {SIGNED}")
    told = f"{error} {error.found} {error.where} {error.expected} {error.do}"
    assert "pa55word" not in told
    assert "0123456789abcdef" not in told
    assert told.count("https://***@host:80/a/emb.parquet?***") == 8


def test_every_handler_gets_records_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "_logRecordFactory", logging.LogRecord)
    mask_logs()
    mask_logs()
    log, stream = logging.getLogger("a library"), io.StringIO()
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        try:
            raise OSError(f"cannot read {SIGNED}")
        except OSError:
            log.exception("reading %s failed", SIGNED)
        log.warning("%s of %d", "one", 2)
    finally:
        log.removeHandler(handler)
    text = stream.getvalue()
    assert "pa55word" not in text
    assert "0123456789abcdef" not in text
    assert text.count("https://***@host:80/a/emb.parquet?***") == 2
    assert "Traceback" in text
    assert text.endswith("one of 2\n")
