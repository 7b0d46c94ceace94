"""The winner, trained as anyone would train it."""

from __future__ import annotations

from pathlib import Path

from conftest import read_csv
from seefit.gathering import gather
from seefit.settings import make_settings, read_settings
from seefit.studies.arms import Arm
from seefit.studies.folder import Question
from seefit.studies.refitting import refit_winner
from test_pool import confirm


def test_a_winner_with_corrected_labels_learns_them_in_the_same_parts(warm: Path, tmp_path: Path, no_page: None) -> None:
    settings = make_settings({"data": str(warm)})
    gathered = gather(settings, None)
    i = int(gathered.split.index("train")[0])
    sample = gathered.seen.samples[i]
    other = next(name for name in gathered.dataset.classes if name != sample.label)
    fixes = confirm(tmp_path / "fixes.csv", gathered, {sample.name: other})
    found = refit_winner(Arm("fixes.csv", settings, fixes=fixes), Question("x", 3, 1, {}, tmp_path), gathered, tmp_path)
    rows = {row["path"]: row for row in read_csv(tmp_path / "winner" / "split.csv")}
    assert rows[sample.name]["label"] == other
    parts = dict(zip((one.name for one in gathered.seen.samples), gathered.split.parts, strict=True))
    assert {path: row["split"] for path, row in rows.items()} == parts
    assert found["part"] == "test"
    assert found["metrics"]["n"] == gathered.judged


def test_a_winner_is_trained_once(warm: Path, tmp_path: Path, no_page: None) -> None:
    settings = make_settings({"data": str(warm), "class_weights": "balanced"})
    gathered, arm = gather(settings, None), Arm("balanced", settings)
    first = refit_winner(arm, Question("x", 3, 1, {}, tmp_path), gathered, tmp_path)
    written = (tmp_path / "winner" / "metrics.json").stat().st_mtime_ns
    assert refit_winner(arm, Question("x", 3, 1, {}, tmp_path), gathered, tmp_path) == first
    assert (tmp_path / "winner" / "metrics.json").stat().st_mtime_ns == written
    assert read_settings(tmp_path / "winner" / "config.yaml", {}).class_weights == "balanced"
