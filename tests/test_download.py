"""Fetching by http: what is followed, what is refused, and what a broken answer says."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seefit.data.download import fetch
from seefit.errors import DataError, ResourceError, UsageError

BODY = b"0123456789" * 1000
LIMIT = 10**6


class Answers(http.server.BaseHTTPRequestHandler):
    """One path for each way in which a server answers."""

    def do_GET(self) -> None:
        ways: dict[str, Callable[[], None]] = {
            "/whole": lambda: self.answer(200, BODY, length=len(BODY)),
            "/no-length": lambda: self.answer(200, BODY),
            "/short": lambda: self.answer(200, BODY, length=len(BODY) + 5),
            "/moved": lambda: self.answer(302, b"", to="/whole"),
            "/to-file": lambda: self.answer(302, b"", to="file:///etc/passwd"),
            "/to-ftp": lambda: self.answer(302, b"", to="ftp://127.0.0.1/x"),
            "/loop": lambda: self.answer(302, b"", to="/loop"),
            "/caf%C3%A9%20a": lambda: self.answer(200, b"named", length=5),
            "/lying": lambda: self.answer(200, b"", length=10**7),
        }
        ways.get(self.path, lambda: self.answer(404, b""))()

    def answer(self, code: int, body: bytes, *, length: int | None = None, to: str | None = None) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if to:
            self.send_header("Location", to)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/whole", "/no-length", "/moved"])
def test_whole_answers(address: str, tmp_path: Path, path: str) -> None:
    digest = fetch(address + path, tmp_path / "f", limit_bytes=LIMIT)
    assert (tmp_path / "f").read_bytes() == BODY
    assert digest == hashlib.sha256(BODY).hexdigest()


def test_an_address_may_hold_any_letter(address: str, tmp_path: Path) -> None:
    fetch(f"{address}/café a", tmp_path / "f", limit_bytes=LIMIT)
    fetch(f"{address}/caf%C3%A9%20a", tmp_path / "g", limit_bytes=LIMIT)
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes() == b"named"


@pytest.mark.parametrize(
    ("path", "got"),
    [
        ("/nothing", "the answer 404 Not Found"),
        ("/short", "10,000 of 10,005 bytes"),
        ("/to-file", "the answer 302 Found - Redirection to url 'file:///etc/passwd' is not allowed"),
        ("/to-ftp", "no answer (unknown url type: ftp)"),
    ],
)
def test_answers_that_are_no_file(address: str, tmp_path: Path, path: str, got: str) -> None:
    with pytest.raises(ResourceError) as caught:
        fetch(address + path, tmp_path / "f", limit_bytes=LIMIT)
    assert caught.value.message == f"Cannot fetch: {address}{path}. Expected the whole file, got {got}."
    assert caught.value.hint == "Check the address and the network, or fetch the file elsewhere and give seefit its path."
    assert caught.value.exit_code == 6


def test_endless_redirects_end(address: str, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="the answer 302"):
        fetch(f"{address}/loop", tmp_path / "f", limit_bytes=LIMIT)


@pytest.mark.parametrize("path", ["/no-length", "/lying"])
def test_too_large(address: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="Expected at most 5,000 bytes, got 10,000"):
        fetch(address + path, tmp_path / "f", limit_bytes=5000)


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"Expected the whole file, got no answer \(.*refused"):
        fetch("http://127.0.0.1:9/x.zip", tmp_path / "f", limit_bytes=LIMIT)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y.zip", "data:,x", "s3://bucket/x"])
def test_only_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="Expected an http or https address"):
        fetch(url, tmp_path / "f", limit_bytes=LIMIT)


def test_no_space(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage._replace(free=3))
    with pytest.raises(ResourceError, match="Expected 10,000 bytes of free space, got 3 bytes free"):
        fetch(f"{address}/whole", tmp_path / "f", limit_bytes=LIMIT)


def test_a_place_that_cannot_be_written(address: str, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(ResourceError, match="Cannot write: "):
        fetch(f"{address}/whole", tmp_path / "f", limit_bytes=LIMIT)
