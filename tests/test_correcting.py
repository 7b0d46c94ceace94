"""``POST /corrections``: from the page of this server alone, in memory, with errors that say nothing of the machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from seefit.deploy.serve.correcting import correction_route
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.guard import Access, Guard
from seefit.deploy.serve.limits import Limits
from test_corrections import CLASSES, picture

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("starlette", reason="starlette is not installed")

HOST = "127.0.0.1:8000"
HOME = {"host": HOST, "origin": f"http://{HOST}"}
MAX_BYTES = 50_000


@pytest.fixture
def kept(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "kept", CLASSES)


@pytest.fixture
def client(kept: Corrections) -> Any:
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    limits = Limits(body_bytes=MAX_BYTES, pixels=10_000)
    app = Starlette(routes=[correction_route(kept, limits)])
    app.add_middleware(Guard, access=Access(), limits=limits, told=lambda *_: None, stamp=dict)
    return TestClient(app)


def form(label: str = "defective", data: bytes = b"") -> dict[str, Any]:
    return {"params": {"label": label}, "files": {"file": ("my <b>.png", data or picture())}}


def test_a_correction_from_the_page_is_kept(client: Any, kept: Corrections) -> None:
    answer = client.post("/corrections", headers=HOME, **form())
    assert (answer.status_code, answer.json()) == (200, {"kept": "1", "full": False})
    assert [path.read_bytes() for path in kept.folder.rglob("*.png")] == [picture()]


@pytest.mark.parametrize(
    "origin", [None, "http://evil.example", "null", f"http://{HOST}.evil.example", f"file://{HOST}", f"https://{HOST}:1", "://"]
)
def test_other_pages_cannot_correct(client: Any, kept: Corrections, origin: str | None) -> None:
    headers = {"host": HOST} | ({} if origin is None else {"origin": origin})
    answer = client.post("/corrections", headers=headers, **form())
    assert answer.status_code == 403
    assert "of this server, got another" in answer.json()["error"]["message"]
    assert kept.count() == 0


def test_a_server_behind_https_is_its_own_page(client: Any) -> None:
    assert client.post("/corrections", headers=HOME | {"origin": f"https://{HOST}"}, **form()).status_code == 200


def test_what_cannot_be_kept_says_why(client: Any, kept: Corrections, tmp_path: Path) -> None:
    client.post("/corrections", headers=HOME, **form())
    answers = {
        400: client.post("/corrections", headers=HOME, **form(label="../../x")),
        409: client.post("/corrections", headers=HOME, **form(label="functional")),
        413: client.post("/corrections", headers=HOME, **form(data=b"x" * (MAX_BYTES + 2**15))),
        422: client.post("/corrections", headers=HOME, **form(data=b"no picture")),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"code", "message", "hint"}
        assert str(tmp_path) not in answer.text
    assert kept.count() == 1


PART = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "text/plain", 415),
        (b"{}", "application/json", 415),
        (b"no form", "multipart/form-data; boundary=x", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400),
        (PART % (b"label", b"defective") + b"--x--\r\n", "multipart/form-data; boundary=x", 400),
        (2 * (PART % (b"file", picture())) + b"--x--\r\n", "multipart/form-data; boundary=x", 400),
    ],
)
def test_other_forms_are_refused(client: Any, kept: Corrections, content: bytes, kind: str, status: int) -> None:
    answer = client.post("/corrections?label=defective", headers=HOME | {"content-type": kind}, content=content)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message", "hint"}
    assert kept.count() == 0


def test_nothing_is_written_but_the_correction(client: Any, kept: Corrections, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "_get_candidate_names", refuse)
    assert client.post("/corrections", headers=HOME, **form(data=picture(9, "BMP") + b"0" * (MAX_BYTES - 1_000))).status_code == 200
    assert kept.count() == 1
