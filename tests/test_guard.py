"""Who may ask, how much, and what every answer carries."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.testclient import TestClient

from seefit.bundle.bundle import load
from seefit.deploy.serve.app import create_app
from seefit.deploy.serve.guard import HEADERS, Access, Guard, Held
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import Refusal

KEY = b"0123456789abcdef"


def status(access: Access, path: str = "/predict", **headers: str) -> int:
    try:
        access.check("POST", path, {name.encode(): value.encode() for name, value in headers.items()})
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "[::1]:8000"])
def test_own_hosts(host: str) -> None:
    assert status(Access(), host=host) == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.7", "[::2]", "[::1", "localhost@evil"]
)
def test_foreign_hosts(host: str) -> None:
    assert status(Access(), host=host) == 421


def test_an_address_in_digits_is_one_of_a_server_that_is_open_to_others() -> None:
    open_to_all = Access(frozenset({"box"}), addresses=True)
    assert [status(open_to_all, host=host) for host in ("10.0.0.7:8000", "[fe80::1]:80", "box", "evil.example")] == [200, 200, 200, 421]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8000", 200),
        ("http://LOCALHOST:8000", 200),
        ("http://localhost:9000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origins(origin: str, expected: int) -> None:
    assert status(Access(), host="localhost:8000", origin=origin) == expected


def test_the_key() -> None:
    access = Access(key=KEY)
    assert repr(KEY) not in repr(access)
    assert status(access, host="localhost") == 401
    assert status(access, host="localhost", authorization="Bearer 0123456789abcdee") == 401
    assert status(access, host="localhost", authorization=f"Basic {KEY.decode()}") == 401
    assert status(access, host="localhost", authorization=f"bearer {KEY.decode()}") == 200
    assert status(access, host="localhost", **{"x-api-key": KEY.decode()}) == 200
    assert [status(access, path, host="localhost") for path in ("/", "/docs", "/static/page.js", "/v2/health/ready")] == [200] * 4
    assert [status(access, path, host="localhost") for path in ("/metrics", "/v2/models/m", "/corrections", "//", "/staticx")] == [401] * 5


def test_bytes_under_way_are_bounded() -> None:
    held = Held(10)
    held.take(6)
    with pytest.raises(Refusal) as caught:
        held.take(5)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    held.give_back(6)
    held.take(10)


def test_every_answer_has_the_headers_and_no_bug_shows(tiny_bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = load(tiny_bundle)
    app = create_app(bundle)

    @app.get("/bug")
    async def bug() -> None:
        raise ValueError(f"a secret in {__file__}")

    with TestClient(app, base_url="http://localhost") as client:
        for path, expected in (("/v2", 200), ("/nothing", 404), ("/bug", 500), ("/docs", 200)):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["x-model-hash"]) == (expected, bundle.hash)
            assert {name.decode() for name in HEADERS} <= set(answer.headers)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        answer = client.get("/bug")
        assert answer.json()["error"]["message"] == "The server failed: this request. Expected an answer, got a bug in seefit."
        assert client.get("/v2", headers={"Origin": "http://evil.example"}).status_code == 403
        options = client.options("/predict", headers={"Origin": "http://localhost", "Access-Control-Request-Method": "POST"})
        assert (options.status_code, "access-control-allow-origin" in options.headers) == (405, False)
    assert "a secret" in caplog.text


def test_what_is_no_http_is_passed_on() -> None:
    import asyncio

    seen = []

    async def app(scope: object, *_: object) -> None:
        seen.append(scope)

    guard = Guard(app, Access(), Limits(), lambda *_: None, dict)
    asyncio.run(guard({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
