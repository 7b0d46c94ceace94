from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import start
from seefit.environment import started
from seefit.errors import ResourceError, RunError
from seefit.runs import (
    LOCK,
    SORTS,
    check_free,
    delete_runs,
    is_finished,
    is_run,
    list_runs,
    locked,
    new_run,
    read_config,
    read_metrics,
    resumable,
    resume_command,
    select_runs,
)

HOLD = """
import sys; from pathlib import Path; from seefit.runs import locked
with locked(Path(sys.argv[1])): print("held", flush=True); input()
"""
CONFIG = "data: photos\nbackbone: lite0\nresolved: {}\n"
FIGURE: dict[str, float | None] = {"value": 0.9, "low": 0.8, "high": 0.95}
METRICS = {"headline": "test", "test": {"accuracy": FIGURE, "balanced_accuracy": FIGURE}, "seconds": {"scan": 1, "report": 1}}


@pytest.fixture
def dead_pid() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Return a folder whose lock another living process holds, and its pid."""
    folder = tmp_path / "held"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield folder, process.pid
    process.communicate("\n", timeout=10)


def make_folder(run: Path, *, metrics: object = None, age: float = 0) -> Path:
    """Make what training leaves, as far as the list looks at it."""
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(CONFIG)
    (run / "split.csv").write_text("path,label,split,group,weight,sha256\n")
    if metrics is not None:
        (run / "metrics.json").write_text(json.dumps(metrics))
    moment = time.time() - age
    os.utime(run / "config.yaml", (moment, moment))
    return run


def make_start(run: Path) -> Path:
    """Make what training leaves when it is killed before its images are split."""
    run.mkdir()
    (run / "config.yaml").write_text("data: photos\nresolved:\n  started_in: /somewhere\n")
    (run / ".skipped.csv.12-34.part").write_text("path")
    return run


def test_runs_are_numbered_with_the_first_free_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [new_run(None, "photos-lite0") for _ in range(3)] == [Path("runs") / f"photos-lite0-{n}" for n in (1, 2, 3)]
    Path("runs/photos-lite0-2").rmdir()
    assert new_run(None, "photos-lite0") == Path("runs/photos-lite0-2")


@pytest.mark.parametrize(
    ("stem", "folder"), [("demo:elpv", "demo-elpv-1"), ("../../x", "x-1"), ("", "run-1"), ("..", "run-1"), ("猫 'x'\n", "猫--x-1")]
)
def test_any_data_name_gives_a_plain_folder_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_run(None, stem) == Path("runs") / folder


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    assert new_run(tmp_path / "a" / "b", "x").is_dir()
    assert new_run(tmp_path / "a" / "b", "x") == tmp_path / "a" / "b"


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(RunError) as caught:
        new_run(tmp_path, "x")
    assert caught.value.exit_code == 4
    assert (
        caught.value.message
        == f"The run folder is occupied: {tmp_path}. Expected a new or empty folder, got 1 entries, such as 'mine.txt'."
    )
    assert caught.value.hint == f"Choose another folder with --out, or delete the old run with `seefit runs --delete {tmp_path}`."
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError) as caught:
        new_run(tmp_path / "file", "x")
    assert caught.value.exit_code == 6
    assert str(caught.value).startswith(f"Cannot write: {tmp_path / 'file'}. Expected a place that can be written to, got ")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where nobody can make a folder")
@pytest.mark.parametrize("out", [Path("/proc/run"), None])
def test_a_read_only_place_is_refused_in_under_a_second(out: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seefit.runs.RUNS", Path("/proc/runs"))
    began = time.monotonic()
    with pytest.raises(ResourceError, match=r"^Cannot write: /proc/run"):
        new_run(out, "x")
    assert time.monotonic() - began < 1


def test_the_lock_names_this_process_and_goes_with_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()} {started(os.getpid())}"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused_with_the_pid_of_the_first(held: tuple[Path, int]) -> None:
    folder, pid = held
    text = f"The run is in use: {folder}. Expected no other process in it, got process {pid}."
    began = time.monotonic()
    for attempt in (lambda: new_run(folder, "x"), lambda: locked(folder).__enter__(), lambda: check_free(folder)):
        with pytest.raises(RunError) as caught:
            attempt()
        assert caught.value.message == text
        assert caught.value.hint == "Wait until it ends, or choose another folder with --out."
    assert time.monotonic() - began < 1
    assert (folder / LOCK).read_text() == f"{pid} {started(pid)}"


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path, dead_pid: int) -> None:
    (tmp_path / LOCK).write_text(str(dead_pid))
    check_free(tmp_path)
    assert new_run(tmp_path, "x") == tmp_path
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()} {started(os.getpid())}"
        check_free(tmp_path)


def test_a_lock_whose_number_another_program_has_now_is_taken_over(held: tuple[Path, int], tmp_path: Path) -> None:
    _, pid = held  # alive, and not what made this lock
    (tmp_path / LOCK).write_text(f"{pid} 12")
    check_free(tmp_path)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()} {started(os.getpid())}"
    for text in (str(pid), f"{pid} {started(pid)}"):  # a lock without a start may be its own
        (tmp_path / LOCK).write_text(text)
        with pytest.raises(RunError, match=f"got process {pid}"), locked(tmp_path):
            pass


@pytest.mark.parametrize("content", ["", "no number", "-1", "0"])
def test_a_lock_that_names_nobody_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()} {started(os.getpid())}"


def test_a_lock_whose_pid_is_still_being_written_is_respected(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("")
    writer = threading.Timer(0.03, lambda: (tmp_path / LOCK).write_text(str(os.getppid())))
    writer.start()
    with pytest.raises(RunError, match=f"got process {os.getppid()}"):
        new_run(tmp_path, "x")
    writer.join()


def test_runs_are_listed_newest_first_with_their_state(tmp_path: Path, held: tuple[Path, int]) -> None:
    old = make_folder(tmp_path / "old", metrics=METRICS, age=100)
    make_folder(tmp_path / "broken", metrics=["no", "mapping"], age=50)
    folder, _ = held
    for name in ("config.yaml", "split.csv"):
        (folder / name).write_text(CONFIG)
    found = list_runs(tmp_path)
    assert [(run.run.name, run.state) for run in found] == [("held", "running"), ("broken", "unfinished"), ("old", "finished")]
    assert found[2] == type(found[2])(old, "finished", "photos", "lite0", found[2].created, "test", FIGURE, FIGURE, None, None, [])


def test_a_run_is_there_from_its_first_file_on_and_finished_with_its_last(tmp_path: Path) -> None:
    run = make_start(tmp_path / "run")
    assert is_run(run) and not is_finished(run)
    assert [(listed.run, listed.state) for listed in list_runs(tmp_path)] == [(run, "unfinished")]
    (run / "split.csv").write_text("path,label,split,group,weight,sha256\n")
    (run / "metrics.json").write_text(json.dumps({**METRICS, "seconds": {"scan": 1, "total": 1}}))  # as it is while the report is made
    assert not is_finished(run)
    (run / "metrics.json").write_text(json.dumps(METRICS))
    assert is_finished(run)
    delete_runs([run])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run", "my run"])
def test_an_interrupted_run_is_refused_as_a_new_one_and_says_how_to_go_on(name: str, tmp_path: Path) -> None:
    run = make_start(tmp_path / name)
    with pytest.raises(RunError) as caught:
        new_run(run, "x")
    shown = str(run) if name == "run" else f"'{run}'"
    assert resume_command(run) == f"seefit resume {shown}"
    assert caught.value.hint == (
        f"Continue that run with `seefit resume {shown}`, choose another folder with --out, "
        f"or delete the old run with `seefit runs --delete {run}`."
    )


def test_half_written_files_of_a_killed_process_do_not_occupy_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.12-34.part").write_text("data")
    assert new_run(tmp_path, "x") == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "new", "files", "stay"),
    [
        (KeyError("x"), True, ["config.yaml", "skipped.csv"], []),
        (KeyError("x"), True, ["config.yaml", "skipped.csv", "split.csv"], ["config.yaml", "skipped.csv", "split.csv"]),
        (KeyError("x"), False, ["config.yaml"], ["config.yaml"]),
        (KeyboardInterrupt(), True, ["config.yaml"], ["config.yaml"]),
        (SystemExit(143), True, ["config.yaml"], ["config.yaml"]),
        (KeyboardInterrupt(), True, [], []),
    ],
)
def test_what_ends_a_run_says_how_to_go_on_where_there_is_a_way(
    error: BaseException, new: bool, files: list[str], stay: list[str], tmp_path: Path
) -> None:
    with pytest.raises(type(error)) as caught, resumable(tmp_path, new=new):
        for name in files:
            (tmp_path / name).write_text("x")
        raise error
    assert sorted(path.name for path in tmp_path.iterdir()) == stay
    assert getattr(caught.value, "__notes__", []) == ([f"Go on with: seefit resume {tmp_path}"] if stay else [])


def test_other_folders_are_not_listed(tmp_path: Path) -> None:
    for name, content in {"text": "data", "list": "- data\n- resolved\n", "bad": "a: [", "other-tool": "data: x\nmodel: y\n"}.items():
        make_folder(tmp_path / name)
        (tmp_path / name / "config.yaml").write_text(content)
    (make_folder(tmp_path / "no-split") / "split.csv").unlink()
    make_start(tmp_path / "copied").joinpath("notes.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    assert list_runs(tmp_path) == []
    assert list_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("files", "got"),
    [
        ({}, "a folder without a readable config.yaml"),
        ({"config.yaml": "- a"}, "a config.yaml that is no mapping"),
        ({"config.yaml": CONFIG}, "a run without metrics.json, not finished or damaged"),
        ({"config.yaml": CONFIG, "metrics.json": '{"test": '}, "a run without metrics.json, not finished or damaged"),
        ({"config.yaml": CONFIG, "metrics.json": "[1]"}, "a metrics.json that is no mapping"),
    ],
)
def test_figures_of_what_is_no_finished_run_are_refused(tmp_path: Path, files: dict[str, str], got: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(RunError) as caught:
        read_metrics(tmp_path)
    assert caught.value.message == f"Not a finished run: {tmp_path}. Expected the folder of a finished run, got {got}."
    assert caught.value.hint == "`seefit runs` lists them."


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=re.escape(f"Not a finished run: {tmp_path / 'x'}. Expected the folder of a finished run, got no such folder.")
    ):
        read_config(tmp_path / "x")


def test_runs_are_deleted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = make_folder(tmp_path / "one", metrics={}), make_folder(tmp_path / "two")
    (one / "bundle").mkdir()
    (one / "bundle" / "bundle.json").write_text("{}")
    delete_runs([one, one])
    assert not one.exists()
    monkeypatch.chdir(two)
    delete_runs([Path()])
    assert not two.exists()


def test_nothing_is_deleted_unless_all_of_it_may_be(tmp_path: Path, held: tuple[Path, int]) -> None:
    good = make_folder(tmp_path / "good")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_text("data: x\n")
    link = tmp_path / "link"
    link.symlink_to(good, target_is_directory=True)
    with pytest.raises(RunError) as caught:
        delete_runs([good, other, link, tmp_path / "none", held[0]])
    assert caught.value.message.splitlines() == [
        f"Cannot delete: {other}. Expected the folder of a run, got a folder that training did not make.",
        f"Cannot delete: {link}. Expected the folder of a run, got a link.",
        f"Cannot delete: {tmp_path / 'none'}. Expected the folder of a run, got no such folder.",
        f"The run is in use: {held[0]}. Expected no other process in it, got process {held[1]}.",
    ]
    assert good.is_dir() and link.is_symlink() and (other / "config.yaml").is_file() and held[0].is_dir()


def test_the_command_line_refuses_a_run_in_use_quickly(held: tuple[Path, int], tmp_path: Path) -> None:
    process = start("train", tmp_path, "--out", held[0])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert f"got process {held[1]}." in err
    assert "Traceback" not in err


def test_runs_are_sorted_by_what_they_have(tmp_path: Path) -> None:
    for name, value, total, age in [("a", 0.7, 5.0, 10), ("b", 0.9, 9.0, 30), ("c", None, None, 20)]:
        figures = {"auc": {"value": value}, "accuracy": {"value": value}, "balanced_accuracy": None}
        make_folder(tmp_path / name, metrics={**METRICS, "test": figures, "seconds": {"total": total}}, age=age)
    found = list_runs(tmp_path)
    orders = {sort: "".join(run.run.name for run in select_runs(found, sort=sort)) for sort in SORTS}
    assert orders == {"made": "acb", "run": "abc", "balanced_accuracy": "acb", "accuracy": "bac", "auc": "bac", "seconds": "abc"}
    assert select_runs(found, data="PHOTO", backbone="lite", state="unfinished") == found
    assert select_runs(found, data="photograph") == select_runs(found, state="running") == []
