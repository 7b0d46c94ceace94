"""What the folds of a study say: figures of each, the arms held against the first, and which of them wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.calibrate import softmax
from seefit.evaluation.metrics import score
from seefit.evaluation.paired import Paired, corrected_t, holm, verdict
from seefit.studies.folds import Fold
from seefit.training.solver import Float

FIGURES = ("balanced_accuracy", "accuracy", "macro_f1", "auc")
HEADLINE = "balanced_accuracy"


@dataclass(frozen=True)
class Row:
    """A row of ``folds.csv``: an arm on a fold.

    Attributes:
        arm: Its name.
        repeat: From 0.
        fold: From 0.
        learnt: Images that it learnt from.
        held_out: Images that it was judged on.
        balanced_accuracy: Of the held-out images.
        accuracy: Likewise.
        macro_f1: Likewise.
        auc: Likewise; NaN where it is undefined.
        loss: Mean cross-entropy in nats, likewise.
        train_accuracy: Of the images that it learnt from, as they are.
        train_loss: Likewise.
        seconds: That fitting or training took.
    """

    arm: str
    repeat: int
    fold: int
    learnt: int
    held_out: int
    balanced_accuracy: float
    accuracy: float
    macro_f1: float
    auc: float
    loss: float
    train_accuracy: float
    train_loss: float
    seconds: float


COLUMNS = tuple(field.name for field in fields(Row))


def judge_fold(
    arm: str, fold: Fold, held_out: Float, known: Float, labels: NDArray[np.int64], learnt: NDArray[np.intp], seconds: float
) -> Row:
    """Return the row of an arm on a fold.

    Args:
        arm: Its name.
        fold: The fold.
        held_out: (H, C) logits of the held-out images.
        known: (T, C) logits of the images it learnt from.
        labels: (N,) class numbers of all images.
        learnt: (T,) their positions.
        seconds: That fitting took.
    """
    truth, answers = labels[fold.held_out], softmax(held_out)
    figures = {name: score(name, answers, truth) for name in (*FIGURES, "nll")}
    own = {name: score(name, softmax(known), labels[learnt]) for name in ("accuracy", "nll")}
    loss, train = figures.pop("nll"), {"train_accuracy": own["accuracy"], "train_loss": own["nll"]}
    return Row(arm, fold.repeat, fold.number, len(learnt), len(truth), **figures, loss=loss, **train, seconds=round(seconds, 4))


def sum_up(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what an arm's folds come to.

    Spread is the standard deviation over the folds of all repeats. The stability columns are those of the seed comparison of ResNets,
    but for a probe over folds in place of epochs: the mean size of the gap between the images that were learnt from and those held out.

    Args:
        rows: Of one arm.

    Returns:
        ``{"figures": {name: {"mean", "spread", "least", "most"}}, "stability_loss", "stability_accuracy", "seconds", "learnt"}``.
    """
    figures = {name: _spread(np.array([getattr(row, name) for row in rows])) for name in (*FIGURES, "loss")}
    return {
        "figures": figures,
        "stability_loss": float(np.mean([abs(row.train_loss - row.loss) for row in rows])),
        "stability_accuracy": float(np.mean([abs(row.train_accuracy - row.accuracy) for row in rows])),
        "seconds": float(np.median([row.seconds for row in rows])),
        "learnt": round(float(np.mean([row.learnt for row in rows]))),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if not len(known):
        return {"mean": None, "spread": None, "least": None, "most": None}
    spread = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"mean": float(known.mean()), "spread": spread, "least": float(known.min()), "most": float(known.max())}


def hold_against(base: Sequence[Row], arms: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
    """Return the paired differences of arms to the first one, on the same folds.

    Holm's correction is over the arms, for the headline figure alone; the other figures are shown beside it and decide nothing.

    Args:
        base: Rows of the first arm.
        arms: Rows of each other arm, in the same order of folds.

    Returns:
        Per arm ``{"figures": {name: what `Paired` has, or None}, "p_holm", "verdict"}``.
    """
    found = [{name: _difference(base, rows, name, len(arms)) for name in FIGURES} for rows in arms]
    corrected = holm([figures[HEADLINE].p if figures[HEADLINE] else 1.0 for figures in found])  # type: ignore[union-attr]
    return [
        {
            "figures": {name: paired.to_json() if paired else None for name, paired in figures.items()},
            "p_holm": p,
            "verdict": verdict(headline, p) if (headline := figures[HEADLINE]) else "not shown",
        }
        for figures, p in zip(found, corrected, strict=True)
    ]


def _difference(base: Sequence[Row], rows: Sequence[Row], name: str, arms: int) -> Paired | None:
    gains = np.array([getattr(own, name) - getattr(other, name) for own, other in zip(rows, base, strict=True)])
    if len(gains) < 2 or not np.isfinite(gains).all():
        return None
    shares = [float(np.mean([row.held_out / row.learnt for row in side])) for side in (base, rows)]
    return corrected_t(gains, max(shares), arms=arms)  # where an arm learns from fewer images, the larger share is the more careful one


def choose_winner(means: Sequence[float], verdicts: Sequence[str]) -> int:
    """Return the number of the arm to take: the first, unless others are shown to help; of these the one with the highest mean.

    Args:
        means: (A,) of the headline figure.
        verdicts: (A - 1,) on the arms after the first.
    """
    shown = [number for number, said in enumerate(verdicts, 1) if said == "helps"]
    return max(shown, key=lambda number: means[number]) if shown else 0


def to_cells(row: Row) -> list[object]:
    """Return a row of ``folds.csv``."""
    return list(asdict(row).values())


def from_cells(cells: dict[str, str]) -> Row:
    """Read a row of ``folds.csv`` back; an undefined figure is NaN."""
    values: dict[str, Any] = {name: float(cells[name] or "nan") for name in COLUMNS if name != "arm"}
    values |= {name: int(cells[name]) for name in ("repeat", "fold", "learnt", "held_out")}
    return Row(cells["arm"], **values)
