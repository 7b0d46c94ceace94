"""Whatever ends a run, and whenever: `seefit resume` brings it to the end that an unbroken run has."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command import Answer, seefit, seefit_process, start
from conftest import copy_photos
from killed import Killer
from seefit import fitting, pipeline
from tiny import plant_tiny

TIMING = {"seconds", "promise", "images_per_second", "peak_memory_mb"}  # what may differ between a resumed run and an unbroken one
SAME = ("split.csv", "skipped.csv", "history.csv", "predictions.csv", "bundle/bundle.json", "bundle/model.onnx")

Kill = Callable[..., int]


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    """Return a process that starts commands and lets them be killed."""
    process = Killer()
    yield process
    process.close()


@pytest.fixture
def kill(killer: Killer, tmp_path: Path) -> Kill:
    """Return a function that runs a command until a moment and returns its exit code."""
    return lambda moment, *arguments: killer.kill(moment, tmp_path, *arguments)


def check_same(run: Path, unbroken: Path, *, page: bool = True) -> None:
    """Check that two runs ended alike, and that nothing half done is left in the first."""
    for name in SAME:
        assert (run / name).read_bytes() == (unbroken / name).read_bytes(), name
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (run, unbroken))
    assert {name: one[name] for name in one.keys() - TIMING} == {name: two[name] for name in two.keys() - TIMING}
    assert one["seconds"].keys() == two["seconds"].keys()
    assert (run / "report.html").is_file() == page
    if page:
        told = [{path.name: path.read_bytes() for path in (folder / "insights").iterdir()} for folder in (run, unbroken)]
        assert told[0] == told[1]
        assert len(told[0]) > 5
    assert list(run.rglob(".*")) == []


@pytest.fixture
def photos(trained: Path) -> Path:
    """Work with an empty cache, but for the tiny backbone; return the photographs of `trained`."""
    plant_tiny()
    return trained.parent / "photos"


@pytest.mark.parametrize("moment", ["keep", pytest.param("after predictions.csv", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("no_page")
def test_a_run_that_was_killed_ends_as_an_unbroken_one(moment: str, kill: Kill, photos: Path, trained: Path, tmp_path: Path) -> None:
    kill_and_resume(moment, kill, photos, tmp_path / "run")
    check_same(tmp_path / "run", trained, page=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "keep scan-", "after config.yaml", "before skipped.csv", "before split.csv", "after split.csv", "before 2 config.yaml",
        "after history.csv", "before model.onnx", "after model.onnx", "before bundle.json", "after bundle.json",
        "before predictions.csv", "before metrics.json", "after metrics.json", "before README.md", "before report.html",
        "after report.html", "before 2 metrics.json",
    ],
)  # fmt: skip
def test_a_run_that_was_killed_at_any_other_file_does_too(moment: str, kill: Kill, photos: Path, trained: Path, tmp_path: Path) -> None:
    kill_and_resume(moment, kill, photos, tmp_path / "run")
    check_same(tmp_path / "run", trained)


def kill_and_resume(moment: str, kill: Kill, photos: Path, run: Path) -> None:
    """Kill a training at a moment, look at what is said of it, and resume it."""
    assert kill(moment, "train", photos, "--out", run) == -signal.SIGKILL
    assert [entry["state"] for entry in seefit("runs", run.parent, "--json").json["runs"]] == ["unfinished"]
    refused = seefit("train", photos, "--out", run, "--json").error()
    assert refused["code"] == 4
    assert refused["hint"] == (
        f"Continue that run with `seefit resume {run}`, choose another folder with --out, "
        f"or delete the old run with `seefit runs --delete {run}`."
    )
    resumed = seefit("resume", run, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["run"] == str(run)
    assert seefit("runs", run.parent, "--json").json["runs"][0]["state"] == "finished"


def test_a_run_killed_before_its_settings_were_kept_is_as_if_it_had_not_been(kill: Kill, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert kill("before config.yaml", "train", photos, "--out", run) == -signal.SIGKILL
    assert sorted(path.name for path in run.iterdir())[0].startswith(".config.yaml.")
    assert seefit("resume", run, "--json").error()["message"].startswith(f"Nothing to resume: {run}. ")
    assert seefit("train", tmp_path / "none", "--out", run).code == 2  # taken as empty
    assert not run.exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment_and_again_while_it_resumes(
    seed: int, big: tuple[Path, Path, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, unbroken, seconds = big
    chance = random.Random(seed)
    plant_tiny()
    run = tmp_path / "run"
    for command in (["train", photos, "--out", run], ["resume", run]):
        process = start(*command)
        time.sleep(chance.uniform(0.15, 1) * seconds)
        process.kill()
        process.communicate()
        if not (run / "config.yaml").is_file():
            return  # nothing was begun
    answer = seefit_process("resume", run)
    assert answer.code == 0, answer.err
    check_same(run, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["scan", "features", "fit", "trust", "evaluate", "insights", "report"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_killed_within_a_phase(phase: str, share: float, big: tuple[Path, Path, float], kill: Kill, tmp_path: Path) -> None:
    photos, unbroken, _ = big
    plant_tiny()
    took = json.loads((unbroken / "metrics.json").read_text())["seconds"][phase]
    run = tmp_path / "run"
    code = kill(f"within {phase} {share * took:.4f}", "train", photos, "--out", run)
    assert code in {-signal.SIGKILL, 0}  # the last phases may be over before
    assert seefit("resume", run).code == 0
    check_same(run, unbroken)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]]) -> tuple[Path, Path, float]:
    """Return 300 photographs, an unbroken run on them, and the seconds that it took with its process."""
    home = tmp_path_factory.mktemp("big")
    photos = copy_photos(elpv_cells, home / "photos", 150)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(home / "cache"))
        plant_tiny()
        began = time.monotonic()
        answer = seefit_process("train", photos, "--out", home / "run")
        assert answer.code == 0, answer.err
    return photos, home / "run", time.monotonic() - began


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), pytest.param(SystemExit(143), 143, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("no_page")
def test_an_interrupt_prints_the_command_that_goes_on(
    error: BaseException, code: int, warm: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed command works from any folder, though the data were named from another one."""
    monkeypatch.chdir(warm.parent)
    run = tmp_path / "my run"
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "fit_probe", lambda *_, **__: raise_error(error))
        answer = seefit("train", "photos", "--out", run)
    assert answer.code == code
    said = answer.err.splitlines()[-2:]
    assert said == ["Interrupted. What is done so far is kept.", f"Go on with: seefit resume '{run}'"]
    monkeypatch.chdir(tmp_path)
    resumed = seefit(*shlex.split(said[-1].partition(": ")[2])[1:])
    assert resumed.code == 0, resumed.err
    check_same(run, trained, page=False)
    assert resumed.out.endswith(f"report   {run / 'report.html'}\npredict  seefit predict {run} IMAGES\n")
    assert "\ndata: photos\n" in (run / "config.yaml").read_text()


def raise_error(error: BaseException) -> None:
    raise error


@pytest.mark.usefixtures("no_page")
def test_an_error_after_the_split_names_the_command_and_one_before_it_leaves_nothing(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "save_bundle", lambda *_: raise_error(MemoryError()))
        answer = seefit("train", warm, "--out", run)
    assert answer.code == 6
    assert answer.err.splitlines()[-1] == f"Go on with: seefit resume {run}"
    assert seefit("train", warm, "--out", tmp_path / "other", "--val", 0.9, "--test", 0.2).code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_finished_run_is_left_as_it_is_and_its_figures_are_shown(trained: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    answer = seefit("resume", trained)
    assert (answer.code, answer.err) == (0, f"The run is finished, there is nothing more to train: {trained}\n")
    assert (
        answer.out == seefit("evaluate", trained).out + f"\nreport   {trained / 'report.html'}\npredict  seefit predict {trained} IMAGES\n"
    )
    assert seefit("resume", trained, "--json", "--quiet").json["metrics"] == json.loads((trained / "metrics.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


@pytest.fixture
def begun(warm: Path, trained: Path, tmp_path: Path) -> Path:
    """Return a run that was killed after its split."""
    run = tmp_path / "begun"
    run.mkdir()
    config = (trained / "config.yaml").read_text()
    (run / "config.yaml").write_text(config[: config.index("resolved:")] + f"resolved:\n  started_in: {tmp_path}\n")
    shutil.copy(trained / "split.csv", run)
    return run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/none"], 4, "Nothing to resume: {tmp}/none. Expected the folder of a run, got no such folder."),
        (["{tmp}"], 4, "Nothing to resume: {tmp}. Expected the folder of a run, got a folder that training did not make."),
        (["{tmp}/begun", "--seed", "4"], 2, "Cannot resume with another setting: --seed. Expected 0, got 4."),
        (
            ["{tmp}/begun", "--epochs", "4"],
            2,
            "Cannot resume with another setting: --epochs. Expected a run that trains the upper layers, got a probe, which has no epochs.",
        ),
    ],
)
def test_what_cannot_be_resumed_says_why(arguments: list[str], code: int, message: str, begun: Path, tmp_path: Path) -> None:
    answer = seefit("resume", *(argument.format(tmp=tmp_path) for argument in arguments), "--json")
    assert answer.code == code
    assert answer.error()["message"] == message.format(tmp=tmp_path)
    assert sorted(path.name for path in begun.iterdir()) == ["config.yaml", "split.csv"]


def test_changed_data_are_exit_4_and_the_run_stays(begun: Path, warm: Path, tmp_path: Path) -> None:
    photos = shutil.copytree(warm, tmp_path / "photos")
    config = begun / "config.yaml"
    config.write_text(config.read_text().replace(f"data: {warm}", "data: photos"))
    moved = sorted((photos / "functional").iterdir())[:2]
    for path in moved:
        path.rename(photos / "defective" / path.name)
    answer = seefit("resume", begun)
    assert answer.code == 4
    first, second = (f"defective/{path.name}" for path in moved)
    assert answer.err.splitlines()[-3:] == [
        f"error: The data changed since the run began: {begun}. Expected the 60 images and labels of its split.csv, "
        f"got 2 relabelled ({first}, {second}).",
        f"Put the data back as they were, or train anew with `seefit train --config {begun / 'config.yaml'}`.",
        f"Go on with: seefit resume {begun}",
    ]
    assert sorted(path.name for path in begun.iterdir()) == ["config.yaml", "split.csv"]


@pytest.mark.usefixtures("no_page")
def test_a_dead_process_s_lock_and_leftovers_are_cleared(begun: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (begun / ".lock").write_text(str(process.pid))
    for leftover in (begun / ".metrics.json.12-34.part", begun / "bundle" / ".model.onnx.12-34.part"):
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_bytes(b"half")
    assert seefit("resume", begun).code == 0
    assert list(begun.rglob(".*")) == []


def test_a_second_process_is_refused_at_once_with_the_pid_of_the_first(begun: Path) -> None:
    (begun / ".lock").write_text(str(os.getppid()))
    began = time.monotonic()
    error = seefit("resume", begun, "--json").error()
    assert time.monotonic() - began < 1
    assert error["code"] == 4
    assert error["message"] == f"The run is in use: {begun}. Expected no other process in it, got process {os.getppid()}."


@pytest.mark.parametrize("command", [["resume", "{run}"], ["train", "photos", "--out", "{run}"]])
def test_it_is_refused_before_anything_heavy_is_loaded(command: list[str], begun: Path) -> None:
    (begun / ".lock").write_text(str(os.getpid()))
    code = """
import sys; from seefit.cli.main import main
print(main(sys.argv[1:]), *(name for name in ("numpy", "torch", "onnxruntime") if name in sys.modules), file=sys.stderr)
"""
    answer = seefit_process(*(word.format(run=begun) for word in command), code=code)
    assert f"got process {os.getpid()}." in answer.err
    assert answer.err.endswith("\n4\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_features_are_computed(number: signal.Signals, big: tuple[Path, Path, float], tmp_path: Path) -> None:
    photos, unbroken, _ = big
    plant_tiny()
    process = start("train", photos, "--out", tmp_path / "run")
    assert process.stderr is not None
    while not process.stderr.readline().startswith("Model: "):
        pass
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.splitlines()[-1] == f"Go on with: seefit resume {tmp_path / 'run'}"
    resumed: Answer = seefit("resume", tmp_path / "run")
    assert resumed.code == 0, resumed.err
    check_same(tmp_path / "run", unbroken)


@pytest.mark.usefixtures("no_page")
def test_resume_needs_no_more_than_the_settings(warm: Path, tmp_path: Path, trained: Path) -> None:
    """A run killed while it scanned has nothing but its settings, and its data may still change."""
    run = tmp_path / "run"
    run.mkdir()
    config: dict[str, Any] = {"data": str(warm), "resolved": {"started_in": str(tmp_path)}}
    (run / "config.yaml").write_text(json.dumps(config))
    assert seefit("resume", run).code == 0
    check_same(run, trained, page=False)
