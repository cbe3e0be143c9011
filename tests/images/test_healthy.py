"""Where a health check asks: it must reach a process however that listens."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path

import pytest
from images import healthy


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("http://0.0.0.0:8090", "http://127.0.0.1:8090"),
        ("https://[::]:443", "https://[::1]:443"),
        ("http://10.1.2.3:80", "http://10.1.2.3:80"),
        ("http://[fd00::1]:80", "http://[fd00::1]:80"),
    ],
)
def test_an_endpoint_is_asked_where_it_listens(tmp_path: Path, listens: str, asked: str) -> None:
    (tmp_path / "endpoint.json").write_text(json.dumps({"url": listens}), encoding="utf-8")
    assert healthy.endpoint(tmp_path) == asked


def test_an_endpoint_that_does_not_listen_yet_is_not_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert healthy.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("nobody answers: ")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_worker_is_what_it_answers(monkeypatch: pytest.MonkeyPatch, status: int, code: int) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *words: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("FLYTE_BUILD_METRICS_PORT", str(server.server_address[1]))
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert healthy.main([]) == code
