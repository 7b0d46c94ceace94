"""Whether stated probabilities are kept, and what stands against a single prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_run import interval, write_rows
from made_trust import insight, write_insight
from seefit.report.record import Prediction, Record
from seefit.report.trust import reliability_bins, reliability_section, trust_section
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


def with_insight(run: Path, **changes: Any) -> Record:
    write_insight(run, **changes)
    return replace(record(0.84, 0.8), run=run)


def test_the_calibration_error_stands_beside_what_chance_would_show(tmp_path: Path) -> None:
    section = reliability_section(with_insight(tmp_path), Words("en"))
    assert section is not None
    assert section.lead[1:] == [
        "On average the gap is 10.0\u00a0% (95\u00a0% interval: 8.0 to 12.0\u00a0%). A perfectly calibrated model would show 6.6\u00a0% "
        "with these pictures, by chance alone, and more than 9.8\u00a0% once in 20 times.",
        "The model’s confidence was adjusted by one number, fitted on pictures that it did not learn from; on these the log loss went from "
        "0.690 to 0.589 (lower is better).",
    ]
    without = reliability_section(with_insight(tmp_path, nll=None), Words("en"))
    assert without is not None
    assert len(without.lead) == 2


def test_trust_in_plain_words(tmp_path: Path) -> None:
    section = trust_section(with_insight(tmp_path), Words("en"))
    assert section is not None
    assert [picture.says for picture in section.pictures] == [
        "Answering only the 80\u00a0% of pictures that it is surest of, it is right for 95 of 100 (95\u00a0% interval: 88.0 to 98.0\u00a0%)"
        "; answering all, for 84 of 100.",
        "“None of these” is set to refuse 5 of 100 pictures of the kinds it knows. Of the 100 judged pictures it refused 7 of 100 "
        "(95\u00a0% interval: 4.0 to 10.0\u00a0%). Most often refused were pictures of “cat”: 12 of 100.",
        "Sets that promise to hold the true class for 90 of 100 pictures hold it for 93 of 100 (95\u00a0% interval: 88.0 to 98.0\u00a0%), "
        "with 1.24 classes in a set on average.",
    ]
    assert section.lead[1].startswith("The limits come from 132 validation pictures")
    assert "Silence: to answer about so many, take answers of 61\u00a0% and more" in section.lead[2]
    assert all(picture.table is not None and picture.table.rows for picture in section.pictures)
    (caption, sizes) = section.folded[0]
    assert caption == "How many classes are in a set"
    assert list(sizes.rows) == [["1", "76", "76.0\u00a0%"], ["2", "24", "24.0\u00a0%"]]
    chinese = trust_section(with_insight(tmp_path), Words("zh"))
    assert chinese is not None
    assert chinese.pictures[0].says.startswith("只回答它最有把握的 80% 的图片时")


def test_where_the_limits_say_little_that_is_said(tmp_path: Path) -> None:
    none = trust_section(with_insight(tmp_path, fitted_on=None, sets=None, unknown=None), Words("en"))
    assert none is not None
    assert len(none.pictures) == 1
    assert none.lead[1].startswith("There is no “none of these”")
    same = trust_section(with_insight(tmp_path, part="val"), Words("en"))
    assert same is not None
    assert same.lead[1].startswith("There was no test part: the limits were set on these very pictures")
    write_rows(tmp_path / "split.csv", ["path", "label", "split", "group"], [["0", "cat", "test", "one"]])
    grouped = trust_section(with_insight(tmp_path, sets=insight()["sets"] | {"own_limits": 1}), Words("en"))
    assert grouped is not None
    assert grouped.lead[2].startswith("The limits take pictures as independent.")
    assert grouped.lead[-1].startswith("1 of the classes had fewer than 20 pictures")


def test_a_run_without_the_insight_has_no_such_chapter(tmp_path: Path) -> None:
    assert trust_section(replace(record(0.84, 0.8), run=tmp_path), Words("en")) is None
