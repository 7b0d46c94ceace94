"""What is told of each epoch, and that it fits a terminal of 80 columns."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from seefit.files import to_json
from seefit.training.history import Epoch, from_json, header, line, so_far

ROW = Epoch(3, 0.6931, 0.881, 0.3124, 0.912, 0.9, 1e-3, 121.4, 12.0)
ALONE = replace(ROW, val_loss=math.nan, val_accuracy=math.nan, val_balanced_accuracy=math.nan)


def test_epochs_are_told_as_a_table() -> None:
    assert [header(validated=True), line(ROW, 12, 201, best=True), line(ROW, 12, 201, best=False)] == [
        "  epoch    loss  accuracy  val loss  val accuracy       rate  images/s     left",
        "   3/12  0.6931     88.1%    0.3124         91.2% *  1.0e-03       121     3:21",
        "   3/12  0.6931     88.1%    0.3124         91.2%    1.0e-03       121     3:21",
    ]


def test_without_a_validation_part_nothing_is_told_of_it() -> None:
    assert [header(validated=False), line(ALONE, 12, 201, best=True)] == [
        "  epoch    loss  accuracy     rate  images/s     left",
        "   3/12  0.6931     88.1%  1.0e-03       121     3:21",
    ]


def test_long_runs_fit_80_columns() -> None:
    row = replace(ROW, epoch=100, accuracy=1, val_accuracy=1, images_per_second=12_345)
    assert len(header(validated=True)) == len(line(row, 100, 99 * 60, best=True)) <= 80


def test_a_row_comes_back_from_json() -> None:
    assert from_json(json.loads(to_json(asdict(ROW)))) == ROW
    again = from_json(json.loads(to_json(asdict(ALONE))))
    assert math.isnan(again.val_loss)
    assert asdict(again).keys() == asdict(ALONE).keys() and again.rate == ROW.rate


@pytest.mark.parametrize(
    ("loss", "accuracy", "said"), [(0.6931, 0.5, "loss 0.6931  accuracy 50.0%"), (12.3, 1, "loss 12.3000  accuracy 100.0%")]
)
def test_the_bar_says_loss_and_accuracy(loss: float, accuracy: float, said: str) -> None:
    assert so_far(loss, accuracy) == said
