"""Label errors that were made on purpose: how many are found, against cleanlab on the same out-of-fold probabilities.

    python benchmarks/label_errors.py --data elpv                                 # the training part of seed 0 of `random`
    python benchmarks/label_errors.py --data FOLDER/train                         # class folders, such as fashion_mnist.py writes

5 % of the labels are changed to another class at random, ten times; each time the head's cross-validation is done again on kept features.
Precision and recall are of what is flagged; the area under the precision-recall curve is of the whole ranking. No test part is looked at.
A label that was wrong before counts as a false alarm, for both. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy.stats import t as student
from sklearn.metrics import average_precision_score

from elpv import splits
from seefit.data.demo import elpv_table
from seefit.data.scan import scan
from seefit.data.sources import read_dataset
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.doctor import find_label_errors
from seefit.fitting import open_extractor
from seefit.settings import make_settings
from seefit.training.head import fit_head

CLEANLAB = ("confident_learning", "prune_by_noise_rate")  # the rule of the paper's joint itself, and cleanlab's default
Floats = np.ndarray[Any, np.dtype[np.float64]]


def read(data: str) -> tuple[Any, Any, Any, Any]:
    """Return features (N, D), labels (N,), weights (N,) and what belongs together (N,) of a training part."""
    dataset = read_dataset("demo:elpv" if data == "elpv" else data)
    seen = scan(dataset)
    index = np.arange(len(seen.samples))
    if data == "elpv":
        index = np.setdiff1d(index, next(splits("random", elpv_table(), 1))[1])
    samples = [seen.samples[i] for i in index]
    extractor = open_extractor(make_settings({"data": data}), seen.sizes[index])
    features = extractor.extract(samples, [seen.sha256[i] for i in index])
    labels = np.array([dataset.classes.index(sample.label or "") for sample in samples])
    return features, labels, np.array([sample.weight for sample in samples]), np.asarray(seen.clusters)[index]


def flip(labels: Any, share: float, seed: int) -> tuple[Any, Any]:
    """Return labels of which a share is changed to another class, and which these are."""
    rng, classes = np.random.default_rng(seed), int(labels.max()) + 1
    flipped = np.zeros(len(labels), bool)
    flipped[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    return np.where(flipped, (labels + rng.integers(1, classes, len(labels))) % classes, labels), flipped


def judge(flagged: Any, ranking: Any, flipped: Any) -> list[float]:
    """Return precision and recall of what is flagged, and the area under the precision-recall curve of a ranking."""
    return [float(flipped[flagged].mean()), float(flagged[flipped].mean()), float(average_precision_score(flipped, ranking))]


def one(features: Any, labels: Any, weights: Any, units: Any, seed: int) -> dict[str, list[float]]:
    """Flip, fit and judge once."""
    given, flipped = flip(labels, 0.05, seed)
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[given]
    head = fit_head(features, targets, weights=weights, units=units, seed=seed)
    probabilities, rows = softmax(head.fold_logits), head.fold_rows
    given, flipped = given[rows], flipped[rows]
    ours = np.zeros(len(given), bool)
    ours[find_label_errors(probabilities, given)[0]] = True
    found = {"seefit": judge(ours, 1 - probabilities[np.arange(len(given)), given], flipped)}
    for rule in CLEANLAB:
        flagged = find_label_issues(given, probabilities, filter_by=rule)
        found[f"cleanlab {rule}"] = judge(flagged, -get_label_quality_scores(given, probabilities), flipped)
    return found


def interval(values: Floats) -> dict[str, float]:
    """Return the mean over seeds with its 95 % t interval."""
    half = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": float(values.mean()), "low": float(values.mean()) - half, "high": float(values.mean()) + half}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="elpv", help="elpv, or class folders to take as a training part")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    material = read(args.data)
    runs = [one(*material, seed) for seed in range(args.seeds)]
    table = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    result: dict[str, Any] = {"data": args.data, "images": len(material[1]), "seeds": args.seeds}
    for name, figures in table.items():
        print(f"{name:32} precision {figures[:, 0].mean():.3f}  recall {figures[:, 1].mean():.3f}  area {figures[:, 2].mean():.3f}")
        for column, figure in enumerate(("precision", "recall", "area")):
            difference = interval(table["seefit"][:, column] - figures[:, column])
            result.setdefault(name, {})[figure] = {"mean": float(figures[:, column].mean()), "seefit_minus_this": difference}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
