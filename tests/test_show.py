from __future__ import annotations

from typing import Any

import pytest

from seefit.cli.show import show_figures


def figure(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def row(n: int, recall: float | None, precision: float | None) -> dict[str, Any]:
    return {"n": n, "recall": figure(recall, 0.0, 1.0), "precision": figure(precision, 0.0, 1.0)}


def test_the_headline_part_is_shown_with_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"n": 1234, "balanced_accuracy": figure(0.877, 0.85, 0.9), "auc": figure(0.9126, 0.9, 0.92), "ece": figure(0.031, 0, 0.05)}
    show_figures(
        {"headline": "test", "test": figures, "val": {"n": 5}, "per_class": {"cat": row(1000, 0.5, 0.25), "dog": row(234, 1, None)}}
    )
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Test part: 1,234 images      [95 % interval]",
        "  balanced accuracy              87.7%  [85.0%, 90.0%]",
        "  AUC                            0.913  [0.900, 0.920]",
        "  calibration error               3.1%  [0.0%, 5.0%]",
        "",
        "  class         images  recall                   precision",
        "  cat            1,000   50.0%  [0.0%, 100.0%]     25.0%  [0.0%, 100.0%]",
        "  dog              234  100.0%  [0.0%, 100.0%]         –  [0.0%, 100.0%]",
    ]


@pytest.mark.parametrize(
    ("headline", "title"),
    [
        ("val", "Validation part (there is no test part): 7 images"),
        ("cross_validation", "Out-of-fold scores of the training part (there is no test part): 7 images"),
    ],
)
def test_another_part_is_marked_as_such(headline: str, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_figures({"headline": headline, "test": None, headline: {"n": 7, "accuracy": figure(0.5)}, "per_class": {}})
    out = capsys.readouterr().out
    assert out.startswith(f"\n{title}")
    assert "  accuracy                       50.0%  [–, –]\n" in out


@pytest.mark.parametrize("calibrated", [True, False, None])
def test_beside_a_calibration_error_stands_whether_there_was_a_calibration(
    calibrated: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    show_figures({"headline": "test", "test": {"n": 9, "ece": figure(0.2)}, "calibrated": calibrated})
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "  the probabilities are not calibrated: no images were kept back for that (--val)"
        if calibrated is False
        else "  calibration error              20.0%  [–, –]"
    )


def test_of_many_classes_the_weakest_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    per_class = {f"c{i}": row(10, i / 25, 0.5) for i in range(25, 0, -1)}
    show_figures({"headline": "test", "test": {"n": 250}, "per_class": per_class})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  c") and "class" not in line] == [f"c{i}" for i in range(1, 21)]
    assert lines[-1] == "  the 20 classes with the lowest recall of 25; all are in the report"


def test_names_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_figures({"headline": "test", "test": {"n": 1}, "per_class": {"a\x1b[31m\nb": row(1, 1, 1), "x" * 50: row(1, 1, 1)}})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a\\x1b[31m\\nb" in out
    assert "x" * 33 not in out


def test_an_extended_run_shows_what_the_older_images_gained(capsys: pytest.CaptureFixture[str]) -> None:
    sides = {
        name: {"accuracy": figure(value, 0.7, 0.9), "balanced_accuracy": figure(value, 0.6, 0.95)}
        for name, value in (("before", 0.8), ("after", 0.85))
    }
    earlier = {"n": 1200, **sides, "difference": {"accuracy": figure(0.05, -0.01, 0.11)}}
    metrics = {"headline": "test", "test": {"n": 1300}, "extension": {"extended_from": "runs/a\x1b", "earlier_images": earlier}}
    show_figures(metrics)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "",
        "The 1,200 of them that runs/a\\x1b was judged on      [95 % interval]",
        "  before     accuracy 80.0%  [70.0%, 90.0%], balanced accuracy 80.0%  [60.0%, 95.0%]",
        "  after      accuracy 85.0%  [70.0%, 90.0%], balanced accuracy 85.0%  [60.0%, 95.0%]",
        "  difference accuracy +5.0%  [-1.0%, +11.0%], image by image",
    ]
    show_figures({**metrics, "extension": {"extended_from": "runs/a", "earlier_images": None}})
    assert len(capsys.readouterr().out.splitlines()) == 2
