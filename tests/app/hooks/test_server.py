"""Whether runs can be kept somewhere is asked as MLflow will ask, and within the time given."""

from __future__ import annotations

import datetime
import socket
import sqlite3
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from semantic_ids.app.hooks.server import is_remote, require_answer, sqlite_file, unanswered


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list]]:
    """A server that answers 401 to everything; yield its port and what it was asked."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "cert.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.mark.parametrize("path", ["", "/", "/behind/mlflow", "/behind/mlflow/"])
def test_a_server_with_user_and_path_is_asked_with_both(path: str) -> None:
    with serving() as (port, asked):
        assert unanswered(f"http://bob:pa55@127.0.0.1:{port}{path}", 5) == ""
    assert asked == [
        (f"{path.rstrip('/')}/health", f"Basic {b64encode(b'bob:pa55').decode()}"),
    ]


def test_user_and_password_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw")
    with serving() as (port, asked):
        assert unanswered(f"http://127.0.0.1:{port}", 5) == ""
    assert asked[0][1] == f"Basic {b64encode(b'ann:pw').decode()}"


@pytest.mark.parametrize(
    "name",
    ["", "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"],
)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_certificate_of_its_own_is_trusted_where_mlflow_would(
    certificate: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if name:
        monkeypatch.setenv(name, "true" if name.endswith("TLS") else str(certificate))
    with serving(context) as (port, _):
        reason = unanswered(f"https://127.0.0.1:{port}", 5)
    if name:
        assert reason == ""
    else:
        assert "self-signed certificate" in reason
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in reason


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        start = time.monotonic()
        with pytest.raises(ConnectionError, match=r"does not answer within 0\.5 s") as caught:
            require_answer(f"http://bob:pa55@127.0.0.1:{listener.getsockname()[1]}", 0.5)
    assert time.monotonic() - start < 5
    assert "bob" not in str(caught.value)


def test_a_dead_database_server_is_not_waited_for() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        assert unanswered(f"postgresql+psycopg://u:p@127.0.0.1:{port}/db", 1) == ""
    with pytest.raises(ConnectionError, match=r"database mysql://\*\*\*@127.* refused"):
        require_answer(f"mysql://u:p@127.0.0.1:{port}/db", 1)


def test_an_sqlite_file_must_be_writable(tmp_path: Path) -> None:
    file = tmp_path / "new" / "mlflow.db"
    assert unanswered(f"sqlite:///{file}", 1) == ""
    assert not file.parent.exists()
    with pytest.raises(ConnectionError, match="cannot be written to"):
        require_answer("sqlite:////proc/no-such-folder/mlflow.db", 1)
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE runs (id)")
        assert unanswered(f"sqlite:///{file}", 0.1) == ""
        other.execute("BEGIN IMMEDIATE")
        assert unanswered(f"sqlite:///{file}", 0.1) == "database is locked"
    file.write_text("no database at all" * 100)
    assert "not a database" in unanswered(f"sqlite:///{file}", 0.1)


@pytest.mark.parametrize(
    ("uri", "file", "remote"),
    [
        ("sqlite:////a/[b] #1/m.db", Path("/a/[b] #1/m.db"), False),
        ("sqlite+pysqlite:///m.db?timeout=5", Path("m.db"), False),
        ("sqlite://", None, False),
        ("mlruns", None, False),
        ("file:///a/mlruns", None, False),
        ("https://host/x", None, True),
        ("databricks://profile", None, True),
    ],
)
def test_kinds_of_addresses(uri: str, file: Path | None, remote: bool) -> None:
    assert sqlite_file(uri) == file
    assert is_remote(uri) == remote
