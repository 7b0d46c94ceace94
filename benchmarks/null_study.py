"""Does a study call arms different that are not, and does it find those that are? 1,000 simulated data sets.

    python benchmarks/null_study.py                  # 10 x 3 folds, 300 images, two classes
    python benchmarks/null_study.py --images 1000    # larger sets

Each set is drawn anew: a signal that no arm sees cleanly, and for each arm its own noise on it, as two backbones see the same images in two
ways. Both arms fit a linear classifier on every fold of the same repeated stratified cross-validation, so the differences of the folds
depend on each other as they do in a real study: through the overlap of training parts, and through the set itself. Null: the noise of
both is equally strong, so both are expected to be equally good. Power: that of the second is stronger; how much worse this makes it is
measured on further sets first, and theory (the noncentral t with the corrected standard error) says how often it should be found.
Prints a line per question, and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtr, stdtrit

from seefit.data.split import k_folds
from seefit.evaluation.intervals import wilson
from seefit.evaluation.paired import ALPHA, corrected_t

REPEATS, FOLDS = 10, 3
POOL = 200  # repeats that each set draws its own ten from; images are drawn anew, so it does not matter that sets share some
SIGNAL, NOISE, COLUMNS = 0.28, 1.0, 20  # distance of the class means on each column; noise of an arm on each; columns
WORSE = (1.3, 1.8, 2.4)  # times the noise, for the second arm
RIDGE = 10.0
Floats = NDArray[np.float64]
Pool = list[list[tuple[NDArray[np.intp], NDArray[np.intp]]]]  # the folds of each repeat


@dataclass(frozen=True)
class Folds:
    """Rows of a cross-validation, all folds of all repeats: (J, n_train) and (J, n_test)."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]

    @property
    def share(self) -> float:
        """n_test over n_train."""
        return float(self.test.shape[1] / self.train.shape[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="data sets for each question (1000)")
    parser.add_argument("--images", type=int, default=300, help="images of a set, a multiple of 6 (300)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    labels = np.arange(options.images) % 2
    pool = [k_folds(labels, np.arange(options.images), k=FOLDS, seed=seed) for seed in range(POOL)]
    null = study(labels, pool, options.sets, 1.0, options.seed)
    called, power = report_null(null, share_of(pool)), []
    for worse in WORSE:
        known = study(labels, pool, options.sets, worse, options.seed + 10_000).mean()
        seen = study(labels, pool, options.sets, worse, options.seed + 20_000)
        power.append({"noise": worse, **report_power(seen, float(known), share_of(pool))})
    print(json.dumps({"images": options.images, "sets": options.sets, "null": called, "power": power}))


def study(labels: NDArray[np.intp], pool: Pool, sets: int, worse: float, seed: int) -> Floats:
    """Return the differences of accuracy, second arm minus first, (sets, J)."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(sets):
        folds = draw_folds(pool, rng)
        signal = (2 * labels[:, None] - 1) * SIGNAL / 2 + 0.5 * rng.normal(size=(len(labels), COLUMNS))
        arms = [signal + factor * NOISE * rng.normal(size=signal.shape) for factor in (1.0, worse)]
        first, second = (accuracies(arm, labels, folds) for arm in arms)
        rows.append(second - first)
    return np.stack(rows)


def draw_folds(pool: Pool, rng: np.random.Generator) -> Folds:
    """Return ten repeats from the pool."""
    chosen = [fold for i in rng.choice(len(pool), REPEATS, replace=False) for fold in pool[i]]
    return Folds(np.stack([train for train, _ in chosen]), np.stack([test for _, test in chosen]))


def share_of(pool: Pool) -> float:
    """Return n_test over n_train."""
    return draw_folds(pool, np.random.default_rng(0)).share


def accuracies(features: Floats, labels: NDArray[np.intp], folds: Folds) -> Floats:
    """Fit a ridge on every fold and return the (J,) accuracies on what it held out."""
    table = np.column_stack([features, np.ones(len(features))])
    learnt, truth = table[folds.train], (2.0 * labels - 1)[folds.train]
    gram = np.einsum("jnd,jne->jde", learnt, learnt) + RIDGE * np.eye(table.shape[1])
    weights = np.linalg.solve(gram, np.einsum("jnd,jn->jd", learnt, truth)[:, :, None])
    said = (table[folds.test] @ weights)[:, :, 0] > 0
    return np.asarray((said == (labels[folds.test] == 1)).mean(axis=1))


def plain_t(differences: Floats) -> float:
    """Return the p of a t test that takes the folds as independent."""
    folds = len(differences)
    spread = differences.std(ddof=1) / math.sqrt(folds)
    return float(2 * stdtr(folds - 1, -abs(differences.mean()) / spread)) if spread > 0 else 1.0


def report_null(differences: Floats, share: float) -> dict[str, object]:
    """Print and return how often arms that are equally good are called different."""
    sets = len(differences)
    called = {
        "corrected": np.mean([corrected_t(row, share).p < ALPHA for row in differences]),
        "uncorrected": np.mean([plain_t(row) < ALPHA for row in differences]),
    }
    told: dict[str, object] = {}
    for name, rate in called.items():
        low, high = (float(end) for end in wilson(rate, sets))
        told[name] = {"value": round(float(rate), 4), "low": round(low, 4), "high": round(high, 4)}
        print(f"null, {name} t: called different in {rate:.1%} [{low:.1%}, {high:.1%}] of {sets} sets", file=sys.stderr)
    return told


def report_power(differences: Floats, known: float, share: float) -> dict[str, object]:
    """Print and return how often a worse arm is found, and how often it should be."""
    judged = [corrected_t(row, share) for row in differences]
    hurts = float(np.mean([one.p < ALPHA and one.value < 0 for one in judged]))
    freedom = differences.shape[1] - 1
    error = math.sqrt((1 / differences.shape[1] + share) * float(differences.var(axis=1, ddof=1).mean()))
    edge = float(stdtrit(freedom, 1 - ALPHA / 2))
    theory = float(1 - nctdtr(freedom, abs(known) / error, edge))
    low, high = (float(end) for end in wilson(hurts, len(judged)))
    held = float(np.mean([one.low <= known <= one.high for one in judged]))
    detectable = float(np.mean([one.detectable for one in judged]))
    print(
        f"power, worse by {-100 * known:.2f} points: found in {hurts:.1%} [{low:.1%}, {high:.1%}], theory {theory:.1%}; "
        f"intervals hold it in {held:.1%}; detectable on average {100 * detectable:.1f} points",
        file=sys.stderr,
    )
    ends = {"value": round(hurts, 4), "low": round(low, 4), "high": round(high, 4)}
    return {
        "worse_by": round(-known, 5),
        "found": ends,
        "theory": round(theory, 4),
        "held": round(held, 4),
        "detectable": round(detectable, 5),
    }


if __name__ == "__main__":
    main()
