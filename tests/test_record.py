"""What a run folder says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_run import make_run, write_rows
from seefit.errors import RunError
from seefit.report.record import Figure, Prediction, as_figure, as_floats, public_name, read_run, read_split

RUN_HINT = "Finish the run with `seefit resume RUN`, or name another run (`seefit runs` lists them)."


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three classes whose images do not exist."""
    photos = {name: [tmp_path / "data" / name / f"{i}.png" for i in range(6)] for name in ("cat", "dog, big", "p:x\nlabel")}
    return make_run(tmp_path / "run", photos, root=tmp_path / "data")


def test_everything_is_read(run: Path) -> None:
    record = read_run(run)
    assert record.classes == ["cat", "dog, big", "p:x\nlabel"]
    assert (record.part, record.headline["n"]) == ("test", 18)
    assert len(record.predictions) == 18
    assert [row["reason"] for row in record.skipped] == ["truncated PNG", "HTML, not an image"]
    assert len(record.history) == 7
    assert record.counts("train") == {"cat": 42, "dog, big": 42, "p:x\nlabel": 42}
    assert {row.label for row in record.predictions} == set(record.classes)
    assert read_run(run, rows=False).predictions == []


def test_probabilities_belong_to_their_classes(run: Path) -> None:
    write_rows(
        run / "predictions.csv",
        ["path", "label", "predicted", "p:cat", "p:dog, big", "p:p:x\nlabel"],
        [["a", "cat", "p:x\nlabel", 0.1, 0.2, 0.7]],
    )
    assert read_run(run).predictions == [Prediction("a", "cat", "p:x\nlabel", 0.7, 0.1, True)]


def test_beyond_a_hundred_classes_the_actual_probability_may_be_a_bound(run: Path) -> None:
    header = ["path", "label", "predicted", *(f"{kind}{i}" for i in range(1, 6) for kind in ("top", "p"))]
    top = ["a", 0.5, "b", 0.2, "c", 0.1, "d", 0.05, "e", 0.01]
    write_rows(run / "predictions.csv", header, [["x", "b", "a", *top], ["y", "zebra", "a", *top]])
    first, second = read_run(run).predictions
    assert (first.confidence, first.actual, first.known) == (0.5, 0.2, True)
    assert (second.confidence, second.actual, second.known) == (0.5, 0.01, False)


def test_missing_files_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        read_run(tmp_path)
    names = ["config.yaml", "metrics.json", "bundle/bundle.json"]
    assert caught.value.message == "\n".join(
        f"Cannot read the run: {tmp_path / name}. Expected the file of a finished run, got no such file." for name in names
    )
    assert caught.value.hint == RUN_HINT


def test_damaged_files_are_refused(run: Path) -> None:
    (run / "metrics.json").write_text('{"headline": "test", ')
    with pytest.raises(RunError, match=r"metrics\.json\. Expected readable JSON, got Expecting property name"):
        read_run(run)
    (run / "metrics.json").write_text("[1]")
    with pytest.raises(RunError, match=r"Expected an object with names and values, got list\."):
        read_run(run)


def test_a_headline_without_its_part_and_a_bundle_without_classes_are_refused(run: Path) -> None:
    (run / "metrics.json").write_text(json.dumps({"headline": "test"}))
    (run / "bundle" / "bundle.json").write_text("{}")
    with pytest.raises(RunError) as caught:
        read_run(run)
    assert "Expected a `headline` that names one of its parts, got 'test'." in caught.value.message
    assert "Expected a list `classes`, got None." in caught.value.message


def test_predictions_of_unknown_columns_are_refused(run: Path) -> None:
    write_rows(run / "predictions.csv", ["path", "label"], [["a", "cat"]])
    with pytest.raises(RunError, match=r"predictions\.csv\. Expected the columns path, label, predicted and probabilities, got KeyError"):
        read_run(run)


def test_missing_optional_files_count_as_empty(run: Path) -> None:
    (run / "skipped.csv").unlink()
    (run / "history.csv").unlink()
    record = read_run(run)
    assert (record.skipped, record.history) == ([], [])


def test_figures_without_interval_or_value() -> None:
    assert as_figure({"value": 0.5, "low": None, "high": None}) == Figure(0.5, None, None)
    assert as_figure({"value": 0.5, "low": 0.4, "high": None}) == Figure(0.5, None, None)
    assert as_figure({"value": None, "low": None, "high": None}) is None
    assert as_figure(None) is None
    assert as_figure(0.25) == Figure(0.25)


def test_an_unknown_interval_lies_neither_above_nor_below() -> None:
    known, unknown = Figure(0.5, 0.4, 0.6), Figure(0.5)
    assert (known.above(0.39), known.above(0.4), known.below(0.61), known.below(0.6)) == (True, False, True, False)
    assert not unknown.above(0.1)
    assert not unknown.below(0.9)
    assert known.half_width == pytest.approx(0.1)
    assert unknown.half_width == 0


def test_what_a_list_does_not_know_is_nan() -> None:
    assert as_floats([0.5, None]).tolist() == pytest.approx([0.5, float("nan")], nan_ok=True)


def test_only_wanted_rows_of_the_split_are_kept(run: Path) -> None:
    assert list(read_split(run, {"cat/3.png", "nothing"})) == ["cat/3.png"]


def test_baseline_class_is_the_commonest_of_the_training_part(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["counts"]["train"]["cat"] = 999
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert read_run(run).baseline_class == "cat"


def test_settings_are_those_that_were_used(run: Path) -> None:
    config = read_run(run).config
    assert (config["backbone"], config["fit"], config["seed"]) == ("tf_efficientnet_lite0", "squash", 0)
    assert Path(config["root"]).name == "data"
    assert "resolved" not in config
    assert read_run(run).asked["fit"] == "auto"


def test_a_missing_file_of_predictions_is_named(run: Path) -> None:
    (run / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"predictions\.csv\. Expected the file of a finished run, got no such file\."):
        read_run(run)


@pytest.mark.parametrize("folds", [None, {"n": 90, "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9}}])
def test_a_run_without_test_and_validation_has_no_predictions(run: Path, folds: object) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(
        json.dumps(metrics | {"headline": "cross_validation", "test": None, "val": None, "cross_validation": folds})
    )
    (run / "predictions.csv").unlink()
    record = read_run(run)
    assert (record.predictions, record.headline) == ([], folds or {})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("demo:elpv", "demo:elpv"),
        ("photos/cats", "photos/cats"),
        ("/data/private/cats", "…/cats"),
        ("https://me:secret@example.org:80/a/cats.zip?key=1", "example.org/a/cats.zip"),
    ],
)
def test_names_that_are_passed_on_keep_secrets(source: str, name: str) -> None:
    assert public_name(source) == name
