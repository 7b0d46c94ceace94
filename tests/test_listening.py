"""The rows about the server in cases.md that need a real one: limits, slow clients, many clients, and the end."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seefit.errors import UsageError
from served import FORM, Running, bomb, form, get, picture, post, read_reply, serving

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

LIMITS = {"body_bytes": 200_000, "seconds": 1.5, "header_seconds": 0.7, "connections": 100}


@pytest.fixture(scope="module")
def running(tiny_bundle: Path) -> Iterator[Running]:
    with serving(tiny_bundle, **LIMITS) as server:
        yield server
        code, said = server.stop()
        assert code == 0, said
        assert "TORCH False" in said
        assert "WROTE" not in said, said


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def test_an_image_is_answered(running: Running) -> None:
    reply = running.ask(post("/predict", form(("a.png", picture()))))
    assert (reply.status, reply.json["model"]) == (200, {"name": running.model, "hash": running.hash})
    assert reply.headers["x-model-hash"] == running.hash
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert "access-control-allow-origin" not in reply.headers
    assert "server" not in reply.headers
    (result,) = reply.json["results"]
    assert result["name"] == "a.png"
    assert sum(entry["score"] for entry in result["predictions"]) == pytest.approx(1, abs=1e-5)


def test_a_body_over_the_limit_is_refused_from_its_length(running: Running) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 99999999\r\n\r\n"
    reply = running.ask(head.encode())
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert reply.error()["message"] == "The request is too large: the request. Expected at most 200,000 bytes, got more."


def test_a_body_in_chunks_is_refused_when_it_passes_the_limit_and_takes_no_memory(running: Running) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    start = form(("a.png", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    before = resident_mb(running.process.pid)
    with running.connect() as connection:
        connection.sendall(head + f"{len(start):x}\r\n".encode() + start + b"\r\n")
        with contextlib.suppress(OSError):  # the server hangs up at last
            for _ in range(1_500):
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        with contextlib.suppress(OSError):
            assert read_reply(connection).status == 413
    assert resident_mb(running.process.pid) - before < 12
    with running.connect() as connection:
        connection.sendall(head)
        body = form(("a.png", b"x" * 300_000))
        connection.sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        assert read_reply(connection).status == 413


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST /predict HTTP/1.1\r\nHost: loc",
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 900\r\n\r\n--ed".encode(),
    ],
    ids=["says nothing", "stops in the headers", "stops in the body"],
)
def test_slow_clients_are_sent_away_and_others_do_not_notice(running: Running, start: bytes) -> None:
    with running.connect() as slow:
        slow.sendall(start)
        assert running.ask(post("/predict", form(("a.png", picture())))).status == 200
        before = time.monotonic()
        reply = read_reply(slow)
        assert (reply.status, time.monotonic() - before < 5) == (408, True)
        assert reply.error()["message"].startswith("The request takes too long: the request. Expected all of it within ")


def test_a_second_request_on_a_connection_has_a_time_limit_too(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(get("/v2/health/live"))
        assert read_reply(connection).status == 200
        connection.sendall(b"GET /v2/hea")
        assert read_reply(connection).status == 408


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("/predict", b"{}", kind="application/json"), 415),
        (post("/predict", form(("a.txt", b"just text"), kind="text/plain")), 415),
        (post("/predict", b""), 400),
        (post("/predict", form(("a.png", b""))), 400),
        (post("/predict", form(("a.png", picture()[:900]))), 422),
        (post("/predict", form(("a.png", b"no image at all"))), 422),
        (post("/predict", form(("a.png", bomb()))), 422),
    ],
    ids=["content type", "text", "no body", "0 bytes", "truncated", "no image", "bomb"],
)
def test_what_cannot_be_used_is_refused_at_once(running: Running, request_bytes: bytes, status: int) -> None:
    seconds = []
    for _ in range(4):
        before = time.perf_counter()
        reply = running.ask(request_bytes)
        seconds.append(time.perf_counter() - before)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
        reply.error()
    assert min(seconds) < 0.1


@pytest.mark.parametrize(
    "path", ["/v2/models/..%2f..%2fetc%2fpasswd", "/v2/models/x%00y", "/v2/models/other", "/..%2f..%2fetc", "/../x", "/static/..%2f..%2fx"]
)
def test_what_is_not_there_is_404(running: Running, path: str) -> None:
    reply = running.ask(get(path))
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")
    assert "/etc/" not in reply.error()["message"].replace("/v2/models/../../etc/passwd", "")
    if path.startswith("/v2"):
        assert running.ask(post(f"{path}/infer", b"{}", kind="application/json")).status == 404


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"GET /\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])
def test_what_is_no_http_is_refused_in_json(running: Running, garbage: bytes) -> None:
    reply = running.ask(garbage)
    assert (reply.status, reply.error()["code"]) == (400, 2)


def test_64_clients_get_what_one_client_gets_and_memory_stays(running: Running) -> None:
    questions = [post("/predict", form((f"{i}.png", picture(i)))) for i in range(8)]
    alone = [running.ask(question).json for question in questions]

    def client(number: int) -> None:
        with running.connect() as connection:
            for at in range(6):
                which = (number + at) % len(questions)
                connection.sendall(questions[which])
                reply = read_reply(connection)
                assert reply.status in {200, 503}
                if reply.status == 200:
                    assert reply.json == alone[which]

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(client, range(64)))
        before = resident_mb(running.process.pid)
        list(pool.map(client, range(64)))
    assert resident_mb(running.process.pid) - before < 20


def test_too_many_connections_are_told_so_at_once(running: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(running.connect())
        time.sleep(0.1)
        reply = read_reply(stack.enter_context(running.connect()))
        assert (reply.status, reply.headers["retry-after"], reply.headers["x-model-hash"]) == (503, "1", running.hash)
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_sigterm_drains_and_is_a_success(tiny_bundle: Path) -> None:
    body = form(("a.png", picture()))
    request = post("/predict", body)
    with serving(tiny_bundle) as server, server.connect() as idle, server.connect() as busy:
        idle.sendall(get("/v2/health/ready"))
        assert read_reply(idle).status == 200
        busy.sendall(request[:-50])
        time.sleep(0.3)
        server.process.terminate()
        assert server.takes_nobody_in()
        busy.sendall(request[-50:])
        assert read_reply(busy).status == 200
        assert idle.recv(10) == b""
        code, said = server.end()
        assert code == 0, said
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert [line["path"] for line in lines if line["message"] == "request"] == ["/v2/health/ready", "/predict"]
        assert "a.png" not in said


def test_a_port_that_is_taken() -> None:
    from seefit.deploy.serve.listening import open_socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=rf"Cannot listen: 127.0.0.1:{port}\. Expected a free address of this machine, got Address already in use"
        ):
            open_socket("127.0.0.1", port)
    with pytest.raises(UsageError):
        open_socket("127.0.0.1", 99_999)
