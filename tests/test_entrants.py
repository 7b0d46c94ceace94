"""Runs that are to be compared: the same test images, or a refusal that names the difference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from made_rivals import EPOCHS, give_groups, make_rival
from made_run import write_rows
from seefit.bundle.bundle import load
from seefit.errors import RunError, SeefitError, UsageError
from seefit.studies.entrants import Stability, describe, read_entrants, read_stability, size_of, time_bundles

Cells = dict[str, list[Path]]


@pytest.fixture
def pair(tmp_path: Path, elpv_cells: Cells, tiny_bundle: Path) -> tuple[Path, Path]:
    """Return two runs on the same test images."""
    return tuple(make_rival(tmp_path / name, elpv_cells, tiny_bundle, wrong=0.2, seed=i) for i, name in enumerate("ab"))  # type: ignore[return-value]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def refusal(*runs: Path) -> SeefitError:
    with pytest.raises(SeefitError) as caught:
        read_entrants(runs)
    return caught.value


def test_images_and_classes_are_brought_into_one_order(pair: tuple[Path, Path]) -> None:
    one, two = pair
    rows = (two / "predictions.csv").read_text().splitlines()
    shuffled = [rows[0], *np.random.default_rng(0).permutation(rows[1:])]
    (two / "predictions.csv").write_text("\n".join(shuffled) + "\n")
    first, second = read_entrants([one, two])
    assert [row.path for row in first.rows] == [row.path for row in second.rows]
    table = {row.split(",")[0]: float(row.split(",")[3]) for row in rows[1:]}
    column = second.record.classes.index("defective")
    assert second.probabilities[:, column].tolist() == [table[row.path] for row in second.rows]
    assert first.groups is None


def test_a_run_alone_or_named_twice_is_refused(pair: tuple[Path, Path]) -> None:
    for runs, got in (([], "0"), (pair[:1], "1"), ((pair[0], pair[0].parent / "b" / ".." / "a"), f"{pair[0]} twice")):
        error = refusal(*runs)
        assert isinstance(error, UsageError)
        assert error.message == f"Nothing to compare: the runs. Expected two different runs at least, got {got}."


def test_other_test_images_are_named(pair: tuple[Path, Path]) -> None:
    one, two = pair
    gone = (two / "predictions.csv").read_text().splitlines()[1].split(",")[0]
    for file in ("predictions.csv", "split.csv"):
        lines = [line for line in (two / file).read_text().splitlines() if not line.startswith(gone)]
        (two / file).write_text("\n".join(lines) + "\n")
    error = refusal(one, two)
    assert (type(error), error.exit_code) == (UsageError, 2)
    assert error.message == f"Other test images: {two}. Expected the 90 test images of {one}, got 1 images fewer ({gone})."
    assert f"got 1 others ({gone})" in refusal(two, one).message


def test_other_labels_are_named(pair: tuple[Path, Path]) -> None:
    one, two = pair
    row = (two / "split.csv").read_text().splitlines()[1]
    edit(two / "split.csv", row, row.replace("defective", "functional"))
    error = refusal(one, two)
    assert error.exit_code == 2
    assert error.message.startswith(f"Other test labels: {two}. Expected the labels of {one}, got {row.split(',')[0]} is 'functional'.")


def test_other_classes_are_named(pair: tuple[Path, Path]) -> None:
    manifest = pair[1] / "bundle" / "bundle.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "classes": ["defective", "functional", "odd"]}))
    edit(pair[1] / "predictions.csv", "p:functional", "p:functional,p:odd")
    rows = (pair[1] / "predictions.csv").read_text().splitlines()
    (pair[1] / "predictions.csv").write_text("\n".join([rows[0], *(row + ",0.0" for row in rows[1:])]) + "\n")
    error = refusal(*pair)
    assert error.exit_code == 2
    assert error.message == f"Other classes: {pair[1]}. Expected the 2 classes of {pair[0]}, got a difference in 'odd'."


def test_what_cannot_be_compared_is_named_all_at_once(pair: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = pair
    (one / "predictions.csv").unlink()
    metrics = json.loads((two / "metrics.json").read_text())
    (two / "metrics.json").write_text(json.dumps(metrics | {"headline": "val"}))
    error = refusal(one, two, tmp_path / "nothing")
    assert (type(error), error.exit_code) == (RunError, 4)
    lost, partless, *missing = error.message.splitlines()
    assert (
        lost == f"Cannot read the predictions: {one / 'predictions.csv'}. Expected a row for every test image of the run, got no such file."
    )
    assert partless == (
        f"The run has no test part: {two}. Expected a run that was judged on test images, got figures of the validation part."
    )
    assert all(str(tmp_path / "nothing") in line for line in missing)
    assert len(missing) == 3


def test_an_unfinished_run_is_refused(pair: tuple[Path, Path]) -> None:
    (pair[1] / "metrics.json").unlink()
    error = refusal(*pair)
    assert error.exit_code == 4
    assert f"{pair[1] / 'metrics.json'}. Expected the file of a finished run, got no such file." in error.message


@pytest.mark.parametrize(
    ("old", "new", "got"),
    [
        ("p:functional", "p:other", "other columns (KeyError)"),
        ("\n", "\nx.png,functional,functional,0.1,0.9\n", "91 rows"),
        ("0.", "nan0.", "other"),
    ],
)
def test_predictions_that_were_changed_by_hand_are_refused(pair: tuple[Path, Path], old: str, new: str, got: str) -> None:
    edit(pair[1] / "predictions.csv", old, new)
    error = refusal(*pair)
    assert error.exit_code == 4
    assert error.message.startswith(f"Cannot read the predictions: {pair[1] / 'predictions.csv'}. Expected a row for every test image")
    assert f"got {got}" in error.message


def test_groups_are_those_of_the_split(pair: tuple[Path, Path]) -> None:
    give_groups(pair[0], 7)
    first, second = read_entrants(pair)
    assert first.groups is not None and len(np.unique(first.groups)) == 7
    assert second.groups is None


def test_a_probe_is_stable_over_its_folds(pair: tuple[Path, Path]) -> None:
    """At the strength of the least loss of held-out images."""
    assert read_stability(pair[0], 5) == Stability(0.125, 0.05, "folds", 5)
    stability = {"loss": 0.125, "accuracy": 0.05, "over": "folds", "count": 5}
    assert describe(read_entrants(pair)[0]) == {"backbone": "lite0", "method": "probe", "stability": stability, "seconds": 18.9}


def test_a_trained_network_is_stable_over_its_epochs(tmp_path: Path) -> None:
    write_rows(tmp_path / "history.csv", EPOCHS, [[1, 1.0, 0.5, 0.8, 0.6, 0.6], [2, 0.5, 0.9, 0.7, 0.7, 0.7]])
    found = read_stability(tmp_path, 5)
    assert found is not None
    assert found.loss == pytest.approx(0.2)
    assert found.accuracy == pytest.approx(0.15)
    assert (found.over, found.count) == ("epochs", 2)


@pytest.mark.parametrize("rows", [None, [[1, 1.0, 0.5, "", "", ""]]])
def test_without_validation_there_is_no_stability(rows: list[list[object]] | None, tmp_path: Path) -> None:
    if rows:
        write_rows(tmp_path / "history.csv", EPOCHS, rows)
    assert read_stability(tmp_path, 0) is None


def test_what_a_bundle_weighs_and_how_fast_it_answers(tiny_bundle: Path) -> None:
    bundle = load(tiny_bundle)
    assert size_of(bundle) == sum(path.stat().st_size for path in tiny_bundle.rglob("*") if path.is_file() and path.name != "bundle.json")
    (speed,) = time_bundles({tiny_bundle: bundle}).values()
    assert 0 < speed < 1e6
