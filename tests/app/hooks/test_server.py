from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from semantic_ids.app.hooks.server import unanswered


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("path", ["", "/", "/prefix"])
def test_a_server_that_answers(path: str) -> None:
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert unanswered(f"http://127.0.0.1:{server.server_port}{path}", 5) == ""


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert "refused" in unanswered(f"http://127.0.0.1:{free.getsockname()[1]}", 5)


def test_a_server_that_hangs_is_waited_for_no_longer_than_said() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        assert "timed out" in unanswered(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.3)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("uri", ["", "sqlite:////tmp/x.db", "databricks", "file:///tmp/mlruns"])
def test_what_is_no_server_is_not_asked(uri: str) -> None:
    assert unanswered(uri, 0.001) == ""
