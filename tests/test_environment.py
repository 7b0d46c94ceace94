from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seefit.environment import _started_by_ps, abandoned_folders, cache_folder, is_alive, offline, own_folder, started, threads
from seefit.errors import ResourceError, UsageError


def test_the_cache_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache_folder("a", "b") == tmp_path / "deep" / "cache" / "a" / "b"
    assert (tmp_path / "deep" / "cache" / "a" / "b").is_dir()


@pytest.mark.skipif(os.name != "posix", reason="the folder of Linux")
def test_without_it_the_users_own_cache_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder().is_relative_to(tmp_path)
    assert cache_folder().name == "seefit"


def test_a_cache_folder_that_cannot_be_made_is_exit_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ResourceError) as caught:
        cache_folder("features")
    assert caught.value.exit_code == 6
    assert caught.value.message == (
        f"Cannot create the cache folder: {tmp_path}/file/cache/features. Expected a writable place, got Not a directory."
    )
    assert caught.value.hint == "Set SEEFIT_CACHE to a folder that you may write to."


def test_threads_come_from_the_environment_or_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= threads() <= (os.cpu_count() or 1)
    monkeypatch.setenv("SEEFIT_THREADS", "7")
    assert threads() == 7


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", " 2", "²"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SEEFIT_THREADS", text)
    with pytest.raises(UsageError) as caught:
        threads()
    assert caught.value.message == (f"Bad environment variable: SEEFIT_THREADS. Expected a whole number of at least 1, got {text!r}.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("ON", True), ("true", True), ("yes", True), ("0", False), ("", False), ("no", False), (None, False)],
)
def test_the_hub_is_forbidden_by_its_own_variable(monkeypatch: pytest.MonkeyPatch, text: str | None, expected: bool) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if text is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", text)
    assert offline() is expected


def test_folders_of_dead_processes_are_known_by_their_names() -> None:
    assert abandoned_folders("fitted") == []
    assert not (cache_folder() / "fitted").exists()  # looking makes nothing
    mine, other = own_folder("fitted"), cache_folder("fitted", "7a-strange")
    process = subprocess.Popen([sys.executable, "-c", "from seefit.environment import own_folder as o; print(o('fitted')); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    assert theirs.parent == mine.parent
    assert is_alive(process.pid)
    assert abandoned_folders("fitted") == []
    process.kill()
    process.communicate()
    assert not is_alive(process.pid)
    assert abandoned_folders("fitted") == [theirs]
    assert mine.is_dir() and other.is_dir()


def test_a_number_that_no_process_can_have_is_not_alive() -> None:
    assert not is_alive(10**30)


@pytest.mark.parametrize("ask", [started, _started_by_ps])
def test_a_process_is_told_from_a_later_one_by_its_start(ask: Callable[[int], str | None]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine, other = ask(os.getpid()), ask(process.pid)
    assert mine and other
    assert ask(os.getpid()) == mine
    assert mine != other or ask is _started_by_ps  # which counts seconds
    process.kill()
    process.communicate()
    assert ask(process.pid) is None


def test_where_nothing_tells_the_start_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert _started_by_ps(os.getpid()) is None


def test_odd_names_of_processes_do_not_matter(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to(Path(sys.executable).resolve())
    process = subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE)
    assert (started(process.pid) or "").isdecimal()
    process.kill()
    process.communicate()
