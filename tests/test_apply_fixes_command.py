"""``seefit apply-fixes`` as a user sees it: a new CSV, what was applied, how to train with it, and what it refuses."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from command import seefit
from conftest import read_csv
from seefit.cli.apply_fixes import train_command
from test_fixes import fill


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished run with one proposal to relabel and one to remove."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    rows = [row for row in read_csv(folder / "split.csv") if row["split"] == "train"][:2]
    other = {"defective": "functional", "functional": "defective"}
    with open(folder / "fixes.csv", "w", encoding="utf-8") as handle:
        handle.write("path,label,action,suggested,reason,score,confirm,sha256\n")
        for row, action in zip(rows, ("relabel", "remove"), strict=True):
            handle.write(f"{row['path']},{row['label']},{action},{other[row['label']]},why,0.9,,{row['sha256']}\n")
    return folder


def test_the_new_table_trains_as_it_is_told(run: Path, warm: Path, tmp_path: Path, no_page: None) -> None:
    fill(run / "fixes.csv", {"confirm": "yes"}, {"confirm": "yes"})
    before = {path: path.read_bytes() for path in [*warm.rglob("*.png"), *run.glob("*.csv")]}
    answer = seefit("apply-fixes", run, "--out", tmp_path / "new.csv")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "Relabelled: 1, removed: 1. No picture was touched."
    assert lines[-2].split() == ["labels", str(tmp_path / "new.csv"), "(59", "images,", "in", "the", "same", "parts", "as", "before)"]
    command = lines[-1].removeprefix("train").split()
    assert command == ["seefit", "train", str(tmp_path / "new.csv"), "--root", str(warm)]
    old, new = ({row["path"]: row for row in read_csv(path)} for path in (run / "split.csv", tmp_path / "new.csv"))
    changed = {name for name in new if new[name]["label"] != old[name]["label"]}
    assert (len(changed), len(old.keys() - new.keys())) == (1, 1)
    assert all(new[name]["split"] == old[name]["split"] for name in new)
    assert {path: path.read_bytes() for path in before} == before
    again = seefit(*command[1:], "--out", tmp_path / "again", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["metrics"]["counts"]["train"].values()


def test_the_json_object(run: Path, tmp_path: Path) -> None:
    fill(run / "fixes.csv", {"confirm": "yes"})
    found = json.loads(seefit("apply-fixes", run, "--out", tmp_path / "new.csv", "--json").out)
    assert {key: found[key] for key in ("images", "relabelled", "removed", "unchanged")} == {
        "images": 60,
        "relabelled": 1,
        "removed": 0,
        "unchanged": 0,
    }
    assert found["command"].startswith("seefit train ")


def test_nothing_confirmed_is_2_and_writes_nothing(run: Path, tmp_path: Path) -> None:
    answer = seefit("apply-fixes", run, "--out", tmp_path / "new.csv")
    assert answer.code == 2
    assert answer.err.startswith(f"error: Nothing to apply: {run}/fixes.csv. Expected confirmed fixes, got 2 proposals, none confirmed.")
    assert not (tmp_path / "new.csv").exists()


def test_nothing_is_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("mine")
    answer = seefit("apply-fixes", run, "--out", tmp_path / "new.csv")
    assert answer.code == 2
    assert answer.err.startswith("error: The table would take the place of something: ")
    assert (tmp_path / "new.csv").read_text() == "mine"
    assert seefit("apply-fixes", run, "--out", tmp_path / "new.txt").code == 2


def test_wrong_rows_are_3_and_no_run_is_4(run: Path, tmp_path: Path) -> None:
    fill(run / "fixes.csv", {"confirm": "yes", "sha256": "00"}, {"confirm": "yes", "path": "gone.png"})
    answer = seefit("apply-fixes", run, "--out", tmp_path / "new.csv", "--json")
    assert answer.code == 3
    message = json.loads(answer.out)["error"]["message"]
    assert "line 2. Expected a proposal about the " in message
    assert "line 3. Expected the path of an image of the run, got 'gone.png'" in message
    (run / "fixes.csv").unlink()
    answer = seefit("apply-fixes", run, "--out", tmp_path / "new.csv")
    assert (answer.code, "The run has no proposals" in answer.err) == (4, True)
    assert seefit("apply-fixes", tmp_path / "nothing", "--out", tmp_path / "new.csv").code == 4
    answer = seefit("apply-fixes", run, "--fixes", tmp_path / "none.csv", "--out", tmp_path / "new.csv")
    assert (answer.code, "Cannot read the table" in answer.err) == (3, True)


def test_the_command_repeats_what_was_chosen_and_quotes_it(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config |= {"preset": "balanced", "schedule_options": {"drop": 0.5}, "scale_lr": True, "val": 0.3, "seed": 7}
    config["resolved"]["root"] = "/data/my photos"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    words = shlex.split(train_command(run, Path("a b.csv")))
    assert words[:5] == ["seefit", "train", "a b.csv", "--root", "/data/my photos"]
    assert words[5:] == ["--preset", "balanced", "--seed", "7", "--scale-lr", "--schedule-options", "drop=0.5"]
