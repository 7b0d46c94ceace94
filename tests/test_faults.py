"""What a run folder holds when the process dies or the disk is full while it is written."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import yaml

from conftest import Train
from seefit import fitting
from seefit.bundle.bundle import load
from seefit.errors import ArtefactError, ResourceError, SeefitError
from seefit.runs import list_runs


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs, nothing is tidied up."""


def check_whole(run: Path, finished: Path) -> None:
    """Check that what has its final name is as in the finished run, and that what is not finished does not pass for it."""
    final = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")]
    for path in final:
        name = path.relative_to(run).as_posix()
        if name == "metrics.json":
            assert json.loads(path.read_text())["test"]
        elif name == "config.yaml":
            assert "resolved" in yaml.safe_load(path.read_text())
        else:
            assert path.read_bytes() == (finished / name).read_bytes(), name
    if (run / "bundle" / "bundle.json").exists():
        load(run).verify()
    else:
        with pytest.raises(ArtefactError):
            load(run)


@pytest.mark.parametrize("name", ["skipped.csv", "config.yaml", "model.onnx", "bundle.json", "predictions.csv", "metrics.json"])
def test_a_process_that_dies_leaves_nothing_partial(
    name: str, train_here: Train, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def die(self: Path, target: Path) -> Path:
        if target.name == name:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", die)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        train_here()
    assert list((tmp_path / "run").rglob(f".{name}.*.part"))  # it did die in the middle of it
    check_whole(tmp_path / "run", trained)
    assert not (tmp_path / "run" / name).exists()
    known = {run.run.name: run.state for run in list_runs(tmp_path)}
    assert known == ({} if name == "config.yaml" else {"run": "unfinished"})


def full_disk_at(n: int, patch: pytest.MonkeyPatch) -> None:
    """Let the n-th write of a file find no space."""
    flush, count = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal count
        count += 1
        if count == n:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(handle)

    patch.setattr(os, "fsync", full)


@pytest.mark.parametrize("n", [1, 3, 5, 19, 21, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4, *range(6, 19), 20, 22))])
def test_a_full_disk_is_exit_6_and_leaves_nothing_partial(
    n: int, train_here: Train, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(ResourceError) as caught:
        full_disk_at(n, patch)
        train_here()
    assert caught.value.exit_code == 6
    assert caught.value.message.startswith(f"The disk is full: {tmp_path / 'run'}")
    assert "bytes of free space, got " in caught.value.message
    assert caught.value.hint == "Free some space and run the same command again."
    if (tmp_path / "run").exists():
        assert not list((tmp_path / "run").rglob(".*"))
        check_whole(tmp_path / "run", trained)


def test_an_error_after_the_first_files_leaves_a_run_that_can_be_listed_and_deleted(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SeefitError("No", where="here", expected="x", got="y", hint="z")

    monkeypatch.setattr(fitting, "fit_probe", fail)
    with pytest.raises(SeefitError, match=r"^No: here\."):
        train_here()
    assert [(run.run.name, run.state) for run in list_runs(tmp_path)] == [("run", "unfinished")]
