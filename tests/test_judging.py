"""Figures of folds, arms held against the first, and the winner."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from seefit.data.tables import read_table, write_table
from seefit.evaluation.paired import corrected_t
from seefit.studies.folds import Fold
from seefit.studies.judging import COLUMNS, Row, choose_winner, from_cells, hold_against, judge_fold, sum_up, to_cells


def row(arm: str, fold: int, share: float, **more: float) -> Row:
    figures = {
        "accuracy": share,
        "macro_f1": share,
        "auc": share,
        "loss": 1 - share,
        "train_accuracy": 1.0,
        "train_loss": 0.1,
        "seconds": 2.0,
    }
    return Row(arm, fold // 3, fold % 3, 200, 100, share, **{**figures, **more})


def test_a_fold_is_judged_on_what_it_held_out() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0])
    fold = Fold(1, 2, np.array([4, 5]), np.array([0, 1, 2, 3]))
    held_out = np.array([[2, 0], [2, 0], [0, 2], [0, 2]], np.float32)
    known = np.array([[0, 9], [9, 0]], np.float32)
    found = judge_fold("a", fold, held_out, known, labels, fold.train, 0.5)
    assert (found.arm, found.repeat, found.fold, found.learnt, found.held_out) == ("a", 1, 2, 2, 4)
    assert found.accuracy == 0.75
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.auc == pytest.approx(2.5 / 3)
    wrong, right = math.log(1 + math.exp(2)), math.log(1 + math.exp(-2))
    assert found.loss == pytest.approx((3 * right + wrong) / 4)
    assert found.train_accuracy == 1
    assert found.train_loss == pytest.approx(math.log(1 + math.exp(-9)))


def test_what_the_folds_come_to() -> None:
    rows = [row("a", i, share, seconds=took) for i, (share, took) in enumerate([(0.7, 2), (0.8, 90), (0.9, 1)])]
    found = sum_up(rows)
    figure = found["figures"]["accuracy"]
    assert (figure["mean"], figure["least"], figure["most"]) == (pytest.approx(0.8), 0.7, 0.9)
    assert figure["spread"] == pytest.approx(0.1)
    assert found["stability_accuracy"] == pytest.approx(0.2)
    assert found["stability_loss"] == pytest.approx(np.mean([0.2, 0.1, 0.0]))
    assert found["seconds"] == 2
    assert found["learnt"] == 200


def test_undefined_figures_are_left_out_and_not_averaged() -> None:
    rows = [row("a", 0, 0.7, auc=math.nan), row("a", 1, 0.8)]
    assert sum_up(rows)["figures"]["auc"]["mean"] == 0.8
    assert hold_against(rows, [rows])[0]["figures"]["auc"] is None
    assert sum_up(rows[:1])["figures"]["auc"] == {"mean": None, "spread": None, "least": None, "most": None}


def test_differences_are_paired_corrected_and_held_against_the_first() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0.75, 0.08, 30)  # folds differ far more than arms
    base = [row("a", i, share) for i, share in enumerate(hard)]
    better = [row("b", i, share) for i, share in enumerate(hard + rng.normal(0.03, 0.01, 30))]
    same = [row("c", i, share) for i, share in enumerate(hard + rng.normal(0.0, 0.01, 30))]
    found = hold_against(base, [better, same])
    assert [one["verdict"] for one in found] == ["helps", "not shown"]
    gains = np.array([b.accuracy - a.accuracy for a, b in zip(base, better, strict=True)])
    assert found[0]["figures"]["balanced_accuracy"] == corrected_t(gains, 0.5, arms=2).to_json()
    assert found[0]["p_holm"] == pytest.approx(2 * corrected_t(gains, 0.5).p)
    assert hold_against(better, [base])[0]["verdict"] == "hurts"


def test_an_arm_that_learns_from_less_is_judged_by_its_own_share() -> None:
    rng = np.random.default_rng(1)
    base = [row("a", i, 0.8) for i in range(9)]
    less = [Row(**{**asdict(row("b", i, 0.8 + gain)), "learnt": 50}) for i, gain in enumerate(rng.normal(0, 0.02, 9))]
    gains = np.array([b.accuracy - a.accuracy for a, b in zip(base, less, strict=True)])
    assert hold_against(base, [less])[0]["figures"]["accuracy"] == corrected_t(gains, 2.0).to_json()
    assert hold_against(less, [base])[0]["figures"]["accuracy"] == corrected_t(-gains, 2.0).to_json()


@pytest.mark.parametrize(
    ("means", "verdicts", "winner"),
    [
        ([0.7, 0.9], ["not shown"], 0),
        ([0.7, 0.8, 0.9], ["helps", "not shown"], 1),
        ([0.7, 0.8, 0.9], ["helps", "helps"], 2),
        ([0.9, 0.8], ["hurts"], 0),
    ],
)
def test_the_first_arm_wins_unless_another_is_shown_to_help(means: list[float], verdicts: list[str], winner: int) -> None:
    assert choose_winner(means, verdicts) == winner


def test_rows_come_back_from_the_file(tmp_path: object) -> None:
    from pathlib import Path

    path, rows = Path(str(tmp_path)) / "folds.csv", [row("a,b", 4, 0.1234567890123), row("c", 1, 0.5, auc=math.nan)]
    write_table(path, COLUMNS, map(to_cells, rows))
    back = [from_cells(cells) for cells in read_table(path)]
    assert back[0] == rows[0]
    assert math.isnan(back[1].auc)
