from __future__ import annotations

import re
from pathlib import Path

import pytest

from command import Answer, seefit
from seefit.errors import DataError


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where logs of bugs go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str) -> Answer:
    """Run a command whose insides raise."""

    def broken(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr("seefit.cli.runs.runs", broken)
    return seefit("runs", *options)


def test_an_error_is_two_lines_on_stderr_and_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DataError("Cannot do it", where="a\x1b[31m\udcffb", expected="x", got="y", hint="Do z")
    assert fail_with(error, monkeypatch) == Answer(3, "", "error: Cannot do it: a\\x1b[31m?b. Expected x, got y.\nDo z.\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("Cannot", where="a", expected="x", got="y", hint="Do z"), "error: Cannot: a. Expected x, got y.\nDo z."),
        (KeyboardInterrupt(), "Interrupted. What is done so far is kept."),
    ],
)
def test_what_was_added_to_an_error_comes_last(error: BaseException, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error.add_note("Go on with: seefit resume 'a\x1b'")
    assert fail_with(error, monkeypatch).err == f"{said}\nGo on with: seefit resume 'a\\x1b'\n"


def test_an_error_is_one_object_with_json(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = fail_with(DataError("Cannot do it", where="a\x1b", expected="x", got="y", hint="Do z"), monkeypatch, "--json")
    assert answer.error() == {"code": 3, "message": "Cannot do it: a\x1b. Expected x, got y.", "hint": "Do z."}
    assert answer.err == ""
    assert "\x1b" not in answer.out


def test_a_traceback_comes_only_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DataError("Cannot do it", where="a", expected="x", got="y", hint="Do z")
    plain, debug = fail_with(error, monkeypatch), fail_with(error, monkeypatch, "--debug")
    assert "Traceback" not in plain.err
    assert debug.err.startswith("Traceback (most recent call last):")
    assert debug.err.endswith(plain.err)
    assert debug.code == 3


def test_a_bug_writes_a_log_with_versions(monkeypatch: pytest.MonkeyPatch, logs: Path) -> None:
    answer = fail_with(ZeroDivisionError("by\x1b zero"), monkeypatch)
    log = next(logs.glob("seefit-*.log"))
    assert answer == Answer(
        1, "", f"error: This is a bug in seefit: ZeroDivisionError: by\\x1b zero\nPlease report it with the log {log}.\n"
    )
    content = log.read_text()
    assert content.startswith("seefit stopped on a bug\ncommand: seefit runs\npython 3")
    assert "Traceback (most recent call last):" in content
    assert "ZeroDivisionError: by" in content
    assert re.search(r"^numpy \d", content, flags=re.MULTILINE)
    assert re.search(r"^seefit \d", content, flags=re.MULTILINE)


def test_a_bug_is_one_object_with_json(monkeypatch: pytest.MonkeyPatch, logs: Path) -> None:
    error = fail_with(ValueError("odd"), monkeypatch, "--json").error()
    assert error["code"] == 1
    assert error["message"] == "This is a bug in seefit: ValueError: odd"
    assert error["hint"] == f"Please report it with the log {next(logs.glob('seefit-*.log'))}."


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 6, "error: Out of memory: this machine. Expected enough memory, got none left.\n"),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            6,
            "error: Out of memory: this machine. Expected enough memory, ",
        ),
        (KeyboardInterrupt(), 130, "Interrupted. The features computed so far are kept: "),
        (SystemExit(143), 143, "Interrupted. The features computed so far are kept: "),
        (SystemExit(0), 0, ""),
    ],
)
def test_what_is_no_bug_writes_no_log(error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, logs: Path) -> None:
    answer = fail_with(error, monkeypatch)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith(message)
    assert list(logs.iterdir()) == []
