"""Several workers: a reload switches all or none, a worker that dies is replaced, and all end together."""

from __future__ import annotations

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from seefit.bundle.bundle import load
from seefit.models.backbone import Backbone
from served import Reply, Running, form, get, picture, post, read_reply, serving
from tiny import make_bundle

KEY = "0123456789abcdef"


def ask(server: Running, request: bytes) -> Reply:
    return server.ask(request.replace(b"\r\n", f"\r\nAuthorization: Bearer {KEY}\r\n".encode(), 1))


def serves(server: Running) -> dict[str, int]:
    """How many workers serve each hash."""
    text = ask(server, get("/metrics")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith("seefit_workers{")]
    return {line.partition('hash="')[2].partition('"')[0]: int(float(line.rpartition(" ")[2])) for line in lines}


def until(condition: object, server: Running, wanted: dict[str, int]) -> None:
    deadline = time.monotonic() + 30
    while serves(server) != wanted:
        assert time.monotonic() < deadline, (condition, serves(server), wanted, server.said.read_text())
        time.sleep(0.2)


def put(source: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)


def test_reload_in_all_workers_or_in_none(tiny_bundle: Path, tiny_backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    place, load_path = tmp_path / "cells", "/v2/repository/models/cells/load"
    put(tiny_bundle, place)
    other = make_bundle(tmp_path / "other", tiny_backbone, temperature=3.0)
    old, new = load(tiny_bundle).hash, load(other).hash
    question = post("/predict", form(("a.png", picture())))
    with serving(place, "--workers", 2, "--api-key-file", tmp_path / "key") as server:
        assert (server.model, server.hash, serves(server)) == ("cells", old, {old: 2})
        before = ask(server, question).json

        put(other, place)
        damaged = bytearray((place / "model.onnx").read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (place / "model.onnx").write_bytes(damaged)
        reply = ask(server, post(load_path, b""))
        assert (reply.status, reply.headers["x-model-hash"]) == (409, old)
        assert str(tmp_path) not in reply.body.decode()
        assert reply.error()["message"].startswith("The old model stays: the new model. Expected a sound one")
        assert serves(server) == {old: 2}
        assert ask(server, question).json == before

        put(other, place)
        assert server.ask(post(load_path, b"")).status == 401
        assert ask(server, post(load_path, b"")).json["hash"] == new
        assert serves(server) == {new: 2}
        for _ in range(6):
            after = ask(server, question)
            assert (after.json["model"]["hash"], after.headers["x-model-hash"]) == (new, new)
            assert after.json["results"] != before["results"]

        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(workers[0], signal.SIGKILL)
        until("a worker is started again", server, {new: 2})
        code, said = server.stop()
        assert code == 0, said
        assert "a worker ended and is started again" in said
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_several_ask_for_figures_at_once_and_after_sigterm_nobody_is_taken_in(tiny_bundle: Path) -> None:
    request = post("/predict", form(("a.png", picture())))
    with serving(tiny_bundle, "--workers", 2) as server, server.connect() as busy:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: server.ask(get("/metrics")), range(40)))
        assert [reply.status for reply in replies] == [200] * 40
        assert all(f'seefit_workers{{hash="{server.hash}"' in reply.body.decode() for reply in replies)
        busy.sendall(request[:-50])
        time.sleep(0.3)
        server.process.terminate()
        assert server.takes_nobody_in()
        busy.sendall(request[-50:])
        assert read_reply(busy).status == 200
        code, said = server.end()
        assert code == 0, said
