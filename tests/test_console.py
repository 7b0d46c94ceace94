from __future__ import annotations

import io
import re
import sys
import time

import pytest

from seefit.console import QUIET, Console, one_line, printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_everything_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Console().say("Reading 12 images")
    Console().warn("one is odd")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Reading 12 images\nwarning: one is odd\n"


def test_what_is_said_once_is_not_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    for text in ("the first reason", "another reason"):
        console.say_once(text, "features")
    console.say_once("of something else", "pictures")
    assert capsys.readouterr().err == "the first reason\nof something else\n"


def test_quiet_lets_only_warnings_through(capsys: pytest.CaptureFixture[str]) -> None:
    QUIET.say("Reading 12 images")
    QUIET.warn("one is odd")
    with QUIET.bar("Reading", 12) as advance:
        advance(12)
    assert capsys.readouterr() == ("", "warning: one is odd\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain café 猫 😀", "plain café 猫 😀"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines", "two\nlines"),
        ("tab\tand\rreturn", "tab\\tand\\rreturn"),
        ("right to left \u202e gpj.exe", "right to left \\u202e gpj.exe"),
        ("no text \udcff", "no text ?"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
    ],
)
def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str], text: str, shown: str) -> None:
    assert printable(text) == shown
    Console().say(text)
    assert capsys.readouterr().err == shown + "\n"


def test_a_name_takes_one_line() -> None:
    assert one_line("two\nlines") == "two\\nlines"


def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().bar("Reading", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_counts_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Console().bar("Reading", 3000, unit="files") as advance:
        advance(1000)
        advance(2000)
    shown = terminal.getvalue()
    assert "Reading" in shown
    assert "3,000/3,000" in shown
    assert "files/s" in shown


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_bar_with_a_note_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with Console().bar("Epoch 12/12", 1200, unit="batches") as advance:
        advance(600, "loss 0.6931  accuracy 100.0%")
        time.sleep(0.15)  # a frame is drawn ten times a second
    frames = [frame for frame in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())) if frame.strip()]
    assert any("Epoch 12/12" in frame and "600/1,200" in frame and "loss 0.6931  accuracy 100.0%" in frame for frame in frames)
    assert not any("batches/s" in frame for frame in frames)
    assert max(len(frame.rstrip()) for frame in frames) <= min(columns, 110)
