from __future__ import annotations

from pathlib import Path

import pytest

from made_run import write_rows
from seefit.evaluation.before_after import compare_predictions
from seefit.evaluation.intervals import paired_difference, wilson

HEADER = ["path", "label", "predicted"]


def write(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    write_rows(path, HEADER, rows)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return predictions of 20 older images, 16 right before and 17 after; after there are 3 images of a new class too."""
    labels = ["cat"] * 10 + ["dog"] * 10
    before = ["cat"] * 8 + ["dog"] * 2 + ["dog"] * 8 + ["cat"] * 2
    after = ["cat"] * 9 + ["bird"] + ["dog"] * 8 + ["cat", "bird"]
    old = [(f"{i}.png", labels[i], before[i]) for i in range(20)]
    new = [(f"old/{i}.png", labels[i], after[i]) for i in reversed(range(20))] + [(f"new/{i}.png", "bird", "bird") for i in range(3)]
    return write(tmp_path / "before.csv", old), write(tmp_path / "after.csv", new)


NAMES = {f"old/{i}.png": f"{i}.png" for i in range(20)}


def test_the_older_images_are_compared_and_nothing_else(files: tuple[Path, Path]) -> None:
    found = compare_predictions(*files, NAMES, None)
    assert found is not None
    assert found["n"] == 20
    assert (found["before"]["accuracy"]["value"], found["after"]["accuracy"]["value"]) == (0.8, 0.85)
    low, high = wilson(0.85, 20)
    assert found["after"]["accuracy"] == {"value": 0.85, "low": pytest.approx(float(low)), "high": pytest.approx(float(high))}
    ends = paired_difference(1, 0, 20)
    assert found["difference"]["accuracy"] == {"value": 0.05, "low": pytest.approx(ends[0]), "high": pytest.approx(ends[1])}
    assert found["before"]["balanced_accuracy"]["value"] == pytest.approx(0.8)
    assert list(found["per_class"]) == ["cat", "dog"]
    cat = found["per_class"]["cat"]
    assert (cat["n"], cat["before"]["value"], cat["after"]["value"]) == (10, 0.8, 0.9)
    assert found["per_class"]["dog"]["after"]["value"] == 0.8


def test_balanced_accuracy_counts_only_the_older_classes(tmp_path: Path) -> None:
    rows = [("a", "cat", "cat"), ("b", "cat", "bird"), ("c", "dog", "dog")]
    file = write(tmp_path / "x.csv", rows)
    found = compare_predictions(file, file, {"a": "a", "b": "b", "c": "c"}, None)
    assert found is not None
    assert found["after"]["balanced_accuracy"]["value"] == pytest.approx(0.75)
    assert found["difference"]["accuracy"]["value"] == 0


def test_without_common_images_there_is_nothing_to_compare(files: tuple[Path, Path]) -> None:
    assert compare_predictions(*files, {}, None) is None
    assert compare_predictions(*files, {"old/1.png": "gone.png"}, None) is None


def test_groups_widen_the_intervals(files: tuple[Path, Path]) -> None:
    groups = {name: i // 5 for i, name in enumerate(NAMES)}
    alone, grouped = (compare_predictions(*files, NAMES, numbers) for numbers in (None, groups))
    assert alone is not None and grouped is not None
    for side in ("before", "after", "difference"):
        narrow, wide = (found[side]["accuracy"] for found in (alone, grouped))
        assert narrow["value"] == wide["value"]
        assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"], side
