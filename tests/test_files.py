"""Writes that fail at any step leave the old content, nothing beside it, and an error that names file, need and free space."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from seefit.errors import ResourceError
from seefit.files import atomic_path, clear_leftovers, is_leftover, resource_error, sha256_file, to_json, write_bytes, write_text


def no_space(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_content_is_written_and_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Käse\n猫")
    assert (tmp_path / "a.txt").read_bytes() == "Käse\n猫".encode()
    write_bytes(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("step", ["pathlib.Path.write_bytes", "os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_at_any_step_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    file = tmp_path / "metrics.json"
    file.write_text("old")
    monkeypatch.setattr(step, no_space)
    with pytest.raises(ResourceError) as caught:
        write_bytes(file, b"n" * 1234)
    assert caught.value.exit_code == 6
    assert re.fullmatch(rf"The disk is full: {file}\. Expected 1,234 bytes of free space, got [\d,]+ bytes free\.", caught.value.message)
    assert caught.value.hint == "Free some space and run the same command again."
    assert file.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_that_is_really_full(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="The disk is full"), atomic_path(tmp_path / "a.bin") as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x")
    assert names(tmp_path) == []


def test_nothing_is_left_when_the_work_is_broken_off(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_name_is_never_seen_before_it_is_whole(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
        assert temporary.name.startswith(".")
        assert temporary.parent == tmp_path
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_threads_that_write_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def write(number: int) -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text(f"thread {number}")
            together.wait(10)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert (tmp_path / "a.txt").read_text() in {f"thread {i}" for i in range(4)}
    assert names(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_to_is_exit_6(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError) as caught:
        write_text(tmp_path / "file" / "a.txt", "text")
    assert caught.value.message == f"Cannot write: {tmp_path}/file/a.txt. Expected a place that can be written to, got Not a directory."
    assert caught.value.hint == "Choose another place with --out, or change the permissions of the folder."


def test_a_folder_under_the_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt" / "inside").mkdir(parents=True)
    with pytest.raises(ResourceError, match="Cannot write"):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == ["a.txt"]
    assert names(tmp_path / "a.txt") == ["inside"]


def test_an_exceeded_quota_is_a_full_disk(tmp_path: Path) -> None:
    error = resource_error(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path / "new" / "a.bin")
    assert error.message.startswith(f"The disk is full: {tmp_path}/new/a.bin. Expected free space, got ")


def test_json_has_no_nan_and_keeps_every_letter() -> None:
    value = {"a": [float("nan"), float("inf"), 1.5], "猫": (-float("inf"), None, True), "broken \udcff": "x"}
    text = to_json(value)
    assert json.loads(text) == {"a": [None, None, 1.5], "猫": [None, None, True], "broken �": "x"}
    assert "猫" in text
    assert text.encode("utf-8")


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 10**6)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 10**6).hexdigest()


def test_what_a_killed_process_left_is_known_by_its_name_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process removes nothing
        with atomic_path(tmp_path / "below" / "a.b.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert is_leftover(temporary.name)
    for name in (".mine.part", "x.1-2.part", ".a.txt.1-2.part.txt", ".1-2.part"):
        (tmp_path / name).write_text("keep")
        assert not is_leftover(name)
    clear_leftovers(tmp_path)
    assert names(tmp_path / "below") == []
    assert len(names(tmp_path)) == 5
