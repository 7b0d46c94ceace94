"""`seefit serve`: names, keys, warnings, and refusals before anything is opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from command import seefit
from seefit.cli.serve import check_name, known_hosts, model_name, read_key
from seefit.errors import UsageError
from served import get, serving


def test_names_of_models(tmp_path: Path, tiny_bundle: Path) -> None:
    (tmp_path / "my run ü").mkdir()
    assert model_name(tmp_path / "my run ü") == "my-run"
    run = tmp_path / "cells"
    run.mkdir()
    (run / "bundle").symlink_to(tiny_bundle)
    assert model_name(Path("/")) == "model"
    assert check_name("a.b-c_1") == "a.b-c_1"
    for bad in ("", "..", "a/b", "x" * 65, "a b", "a\n"):
        with pytest.raises(UsageError, match="Bad name of a model: --name"):
            check_name(bad)


def test_keys(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef\r\n")
    assert read_key(file) == b"0123456789abcdef"
    for bad in (b"", b"short", b"two words of a key", b"0123456789abcd\x00f", "schlüssel-schlüssel".encode(), b"x" * 2_000):
        file.write_bytes(bad)
        with pytest.raises(UsageError, match="Bad key") as caught:
            read_key(file)
        assert bad.decode(errors="replace") not in caught.value.message or not bad
    with pytest.raises(UsageError, match="No such file"):
        read_key(tmp_path / "none")


def test_hosts() -> None:
    assert known_hosts("127.0.0.1", ["Box.example"]) == {"localhost", "127.0.0.1", "[::1]", "box.example"}
    assert {"0.0.0.0", "localhost"} <= known_hosts("0.0.0.0", [])
    assert "[::]" in known_hosts("::", [])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--port", "99999"], 2, "Cannot listen: 127.0.0.1:99999"),
        (["--workers", "0"], 2, "Bad number of workers: --workers"),
        (["--max-bytes", "0", "--timeout", "-1"], 2, "Bad limit: --timeout. Expected a number above 0, got -1."),
        (["--name", "a/b"], 2, "Bad name of a model"),
    ],
)
def test_refused_before_the_start(tiny_bundle: Path, arguments: list[str], code: int, words: str) -> None:
    answer = seefit("serve", tiny_bundle, *arguments, "--json")
    assert answer.code == code
    assert words in answer.error()["message"]


def test_what_is_no_model_is_not_served(tmp_path: Path) -> None:
    answer = seefit("serve", tmp_path, "--port", "0", "--json")
    assert (answer.code, answer.error()["message"].startswith("Cannot load the model")) == (5, True)


def test_another_host_is_warned_about_and_foreign_names_are_refused(tiny_bundle: Path) -> None:
    with serving(tiny_bundle, "--host", "0.0.0.0", "--quiet") as server:
        assert server.ask(get("/v2/health/ready", host=f"127.0.0.1:{server.port}")).status == 200
        assert server.ask(get("/v2/health/ready", host="evil.example")).status == 421
        code, said = server.stop()
    assert code == 0
    assert "warning: listening at 0.0.0.0: open to everybody who can reach this computer, without encryption." in said
    assert '"message": "request"' not in said


def test_the_default_is_this_computer_alone_and_ctrl_c_is_an_end_like_any(tiny_bundle: Path) -> None:
    import signal

    with serving(tiny_bundle) as server:
        server.process.send_signal(signal.SIGINT)
        code, said = server.end()
    assert (code, "warning" in said) == (0, False)
    assert f"is served at http://127.0.0.1:{server.port} (how to ask: http://127.0.0.1:{server.port}/docs). Ctrl-C ends it." in said


def test_a_damaged_model_is_told_with_several_workers_too(tiny_bundle: Path, tmp_path: Path) -> None:
    place = shutil.copytree(tiny_bundle, tmp_path / "model")
    (place / "head.safetensors").write_bytes(b"x")
    answer = seefit("serve", place, "--port", "0", "--workers", "2", "--json")
    assert (answer.code, answer.error()["message"].startswith("The bundle is damaged")) == (5, True)
