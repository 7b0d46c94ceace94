"""Whether stated probabilities are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_run import interval, write_rows
from seefit.report.record import Prediction, Record
from seefit.report.trust import reliability_bins, reliability_section
from seefit.report.words import Words


def test_bins_are_those_of_the_calibration_error() -> None:
    confidence = np.array([0.51, 0.52, 0.99, 1.0])
    said, right, counts = reliability_bins(confidence, np.array([1, 0, 1, 1]))
    assert said == pytest.approx([0.515, 0.995])
    assert right == pytest.approx([0.5, 1.0])
    assert list(counts) == [2, 2]


def record(confidence: float, share_right: float) -> Record:
    rows = [Prediction(str(i), "cat", "cat" if i < 100 * share_right else "dog", confidence, 0.5, True) for i in range(100)]
    metrics = {"headline": "test", "test": {"n": 100, "accuracy": interval(share_right, 0.05), "ece": interval(0.1, 0.02)}}
    return Record(Path("r"), {}, metrics, {"classes": ["cat", "dog"]}, rows)


@pytest.mark.parametrize(
    ("confidence", "share", "start"),
    [
        (0.95, 0.8, "It is too sure of itself"),
        (0.7, 0.8, "It is more often right than it says"),
        (0.84, 0.8, "On average it is as sure as it should be"),
    ],
)
def test_the_sentence_follows_the_interval(confidence: float, share: float, start: str) -> None:
    section = reliability_section(record(confidence, share), Words("en"))
    assert section is not None
    assert section.pictures[0].says.startswith(start)
    gap = "On average the gap is 10.0\u00a0% (95\u00a0% interval: 8.0 to 12.0\u00a0%)."
    assert section.lead[1] == f"{gap} Even a perfect model would show a little, by chance."


def test_the_table_holds_what_is_drawn() -> None:
    section = reliability_section(record(0.95, 0.8), Words("en"))
    assert section is not None
    table = section.pictures[0].table
    assert table is not None
    assert list(table.rows) == [["95.0\u00a0%", "80.0\u00a0%", "71.1 to 86.7\u00a0%", "100"]]


def test_probabilities_that_were_never_calibrated_are_said_to_be_so() -> None:
    run = record(0.84, 0.8)
    run.metrics["calibrated"] = False
    section = reliability_section(run, Words("en"))
    assert section is not None
    assert section.lead[1] == (
        "The probabilities are as the network gave them, not calibrated: no images were kept back that it had not learnt from."
    )


def test_groups_and_unknown_intervals_are_said(tmp_path: Path) -> None:
    write_rows(tmp_path / "split.csv", ["path", "label", "split", "group"], [["0", "cat", "test", "one"]])
    run = replace(record(0.84, 0.8), run=tmp_path)
    run.metrics["test"]["ece"] = {"value": 0.1, "low": None, "high": None}
    section = reliability_section(run, Words("en"))
    assert section is not None
    assert section.lead[1].startswith("The pictures come in groups")
    assert section.lead[2].startswith("On average the gap is 10.0\u00a0% (interval unknown).")
