"""A run that nothing broke off, and the check that one which was killed and resumed ended as it did."""

from __future__ import annotations

import json
import os
import pkgutil
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import read_csv
from killed import Killer

# what the moments of a run wait for
LOOP, KEPT, TUNED = "seefit.training.finetune:take_step", "seefit.training.activations:Activations._packed", "seefit.models.tuned"
FILES = ("split.csv", "skipped.csv", "predictions.csv")
TIMING = {"seconds", "promise", "images_per_second", "peak_memory_mb"}  # what may differ, in metrics.json and history.csv


@dataclass(frozen=True)
class Whole:
    """An unbroken run, what it was made with, and how long it took."""

    run: Path
    arguments: tuple[object, ...]
    cache: Path
    seconds: float

    @property
    def metrics(self) -> dict[str, Any]:
        return dict(json.loads((self.run / "metrics.json").read_text()))


def train_whole(home: Path, killer: Killer, patch: pytest.MonkeyPatch, *arguments: object) -> Whole:
    """Train twice, each time from an empty cache but for the backbone, and time the second; both must be the same."""
    patch.setenv("SEEFIT_CACHE", str(home / "first"))
    assert killer.kill("never", home, *arguments, "--out", home / "first-run") == 0, (home / "log").read_text()
    shutil.copytree(home / "first" / "backbones", home / "cache" / "backbones")
    patch.setenv("SEEFIT_CACHE", str(home / "cache"))
    began = time.monotonic()
    assert killer.kill("never", home, *arguments, "--out", home / "run") == 0
    found = Whole(home / "run", arguments, home / "cache", time.monotonic() - began)
    check_same(home / "first-run", found)
    return found


def check_same(run: Path, whole: Whole) -> None:
    """Check that a run ended as the unbroken one: files, figures, insights, model and page, and that nothing is left over."""
    mine, theirs = _contents(run), _contents(whole.run)
    assert sorted(mine) == sorted(theirs)
    differing = [name for name in mine if mine[name] != theirs[name]]
    assert not differing, differing
    metrics = json.loads((run / "metrics.json").read_text())
    assert {name: metrics[name] for name in metrics.keys() - TIMING} == {name: whole.metrics[name] for name in metrics.keys() - TIMING}
    rows, expected = ([{k: v for k, v in row.items() if k not in TIMING} for row in read_csv(f / "history.csv")] for f in (run, whole.run))
    assert rows == expected and rows
    assert {path.name for path in run.rglob(".*")} == {".choice.json"}
    assert (run / "report.html").is_file()
    assert not any((whole.cache / "tuned").iterdir())


def kill_and_resume(moment: str, whole: Whole, killer: Killer, folder: Path) -> None:
    """Kill a run at a moment, where a phase's is a share of its length, resume it, and check that it ended as the unbroken one."""
    what, *rest = moment.split(" ")
    if what == "within":
        moment = f"within {rest[0]} {float(rest[1]) * whole.metrics['seconds'][rest[0]]:.4f}"
    code = killer.kill(moment, folder, *whole.arguments, "--out", folder / "run")
    assert code == -signal.SIGKILL or (what == "within" and code == 0), code  # a phase may be over before
    assert killer.kill("never", folder, "resume", folder / "run") == 0, (folder / "log").read_text()
    check_same(folder / "run", whole)
    assert not any((Path(os.environ["SEEFIT_CACHE"]) / "tuned").glob("*"))


def kill_twice_and_resume(seed: int, whole: Whole, killer: Killer, folder: Path) -> None:
    """Kill a run at a random moment, again while it resumes, let it end, and check that it ended as the unbroken one."""
    chance, run = random.Random(seed), folder / "run"
    codes = []
    for command in ([*whole.arguments, "--out", run], ["resume", run]):
        if command[0] == "train" or (run / "config.yaml").is_file():
            codes.append(killer.kill(f"at {chance.uniform(0, 1) * whole.seconds:.3f}", folder, *command))
    assert set(codes) <= {-signal.SIGKILL, 0}
    if not (run / "config.yaml").is_file():  # nothing was begun
        assert killer.kill("never", folder, *whole.arguments, "--out", run) == 0
    assert killer.kill("never", folder, "resume", run) == 0, (folder / "log").read_text()
    check_same(run, whole)


def check_moments(moments: Mapping[str, Sequence[str]]) -> None:
    """Check that there are three moments in each phase, and that the functions which they wait for exist."""
    for phase in moments.values():
        assert len(phase) == 3
        for name in (moment.split(" ")[1] for moment in phase if moment.startswith("inside ")):
            assert callable(pkgutil.resolve_name(name))


def _contents(run: Path) -> dict[str, bytes]:
    """Return what every file of a run holds that time does not change: tables, insights and the bundle; of others that they are there."""
    found = {}
    for path in sorted(file for file in run.rglob("*") if file.is_file()):
        name = path.relative_to(run).as_posix()
        same = name in FILES or (name.startswith(("insights/", "bundle/")) and name != "bundle/README.md")  # the card says the seconds
        found[name] = path.read_bytes() if same else b""
    return found
