from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import seefit
from conftest import PhotoFolder, read_csv


def test_the_stored_figures_are_shown_without_a_look_at_any_image(trained: Path, tmp_path: Path) -> None:
    """The photographs are not even there, and the run may not be written to."""
    run = tmp_path / "elsewhere"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("bundle", "split.csv"))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    answer = seefit("evaluate", run, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == json.loads((trained / "metrics.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    shown = seefit("evaluate", run).out
    accuracy = answer.json["test"]["accuracy"]
    assert f"  accuracy                     {accuracy['value']:7.1%}  [{accuracy['low']:.1%}, {accuracy['high']:.1%}]\n" in shown


def test_the_test_part_judged_again_has_the_stored_figures(trained: Path, tmp_path: Path) -> None:
    rows = [row for row in read_csv(trained / "split.csv") if row["split"] == "test"]
    for row in rows:
        target = tmp_path / row["path"]
        target.parent.mkdir(exist_ok=True)
        shutil.copy(trained.parent / "photos" / row["path"], target)
    again = seefit("evaluate", trained, tmp_path, "--json").json
    stored = json.loads((trained / "metrics.json").read_text())
    assert again["bundle"] == stored["bundle"]
    for name in ("n", "accuracy", "balanced_accuracy", "macro_f1", "auc", "nll", "ece", "brier"):
        assert again["test"][name] == pytest.approx(stored["test"][name]), name
    assert again["confusion"] == stored["confusion"]


def test_other_images_are_judged_and_bad_ones_named(trained: Path, photo_folder: PhotoFolder) -> None:
    root = photo_folder(5, start=60)
    (root / "functional" / "two\nlines.png").write_bytes(b"text")
    answer = seefit("evaluate", trained, root, "--json")
    assert answer.code == 0
    assert set(answer.json) == {"headline", "test", "per_class", "confusion", "bundle", "skipped"}
    assert answer.json["headline"] == "test"
    assert answer.json["test"]["n"] == 10
    assert np.sum(answer.json["confusion"]) == 10
    assert answer.json["skipped"] == ["functional/two\nlines.png"]
    assert answer.err == "warning: 1 images are left out; the first: functional/two\\nlines.png (text, not an image)\n"
    assert seefit("evaluate", trained / "bundle", root, "--json").json == answer.json
    assert seefit("evaluate", trained, root).out.startswith("\nTest part: 10 images")


def test_labels_may_come_from_a_table(trained: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    root = photo_folder(3, start=60)
    lines = [f"{path.relative_to(root)},{path.parent.name},g{i % 2}" for i, path in enumerate(sorted(root.rglob("*.png")))]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,camera", *lines]))
    answer = seefit("evaluate", trained, tmp_path / "t.csv", "--root", root, "--group-by", "camera", "--json", "--seed", 3)
    assert answer.code == 0, answer.err
    assert answer.json["test"]["n"] == 6


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/none"], 4, "Not a finished run: {tmp}/none. Expected the folder of a finished run, got no such folder."),
        (["{run}/bundle"], 4, "Not a finished run: {run}/bundle. "),
        (["{tmp}/none", "{run}/../photos"], 5, "Cannot load the model: {tmp}/none. "),
        (["{run}", "{tmp}/none"], 2, "Cannot read the data: {tmp}/none. "),
        (["{run}", "{tmp}"], 3, "Unknown classes: {tmp}. Expected the model's classes (defective, functional), got 'broken', 'whole'."),
    ],
)
def test_what_cannot_be_done_says_why(
    arguments: list[str], code: int, message: str, trained: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]
) -> None:
    for name, cells in zip(("broken", "whole"), elpv_cells.values(), strict=True):
        (tmp_path / name).mkdir()
        shutil.copy(cells[0], tmp_path / name)
    answer = seefit("evaluate", *(argument.format(run=trained, tmp=tmp_path) for argument in arguments), "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message.format(run=trained, tmp=tmp_path))
