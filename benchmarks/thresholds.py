"""How to choose the line between two classes from few images: three rules, and what each costs on other images.

    python benchmarks/thresholds.py

The lowest cost seen, the rule of `seefit.evaluation.decide.cheapest`, and what calibrated probabilities call for. Made scores
(calibrated, too sure by a factor of two, shifted by one in the logit), then real ones: out-of-fold scores of the training part of seed 0 of
the ELPV protocol, halved at random: one half chooses (and fits the temperature), the other shows the cost. No test part is read. Prints how
much more each rule costs than the best threshold for the images that it is judged on.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from elpv import splits  # the sibling script
from seefit.data.demo import elpv_table, read_demo
from seefit.evaluation.calibrate import fit_temperature, softmax
from seefit.evaluation.decide import cheapest, choose_thresholds, costs_of, count_at
from seefit.evaluation.intervals import Floats
from seefit.files import sha256_file
from seefit.models.backbone import load_backbone
from seefit.training.features import FeatureExtractor, choose_parts
from seefit.training.head import fit_head

COSTS = ((1.0, 1.0), (1.0, 10.0), (5.0, 1.0))
RULES = ("lowest seen", "seefit", "calibrated")
KINDS = {"calibrated": (1.0, 0.0), "too sure": (0.5, 0.0), "shifted": (1.0, 1.0)}


def made(n: int, temperature: float, shift: float, rng: np.random.Generator) -> tuple[Floats, np.ndarray]:
    """Return scores and which images are positive: two normal distributions 1.8 standard deviations apart, 3 of 10 positive."""
    positive = rng.random(n) < 0.3
    logits = 1.8 * (rng.normal(size=n) + 1.8 * positive) - 1.8**2 / 2 + np.log(0.3 / 0.7)
    return np.asarray(1 / (1 + np.exp(-(logits / temperature + shift)))), positive


def excess(chosen_on: tuple[Floats, np.ndarray], judged: tuple[Floats, np.ndarray], costs: tuple[float, float]) -> list[float]:
    """Return how much more each rule costs on the judged images than the best threshold for them."""
    thresholds = choose_thresholds(*chosen_on)
    counts = count_at(*chosen_on, thresholds)
    real = costs_of(count_at(*judged, thresholds), *costs)
    called_for = int(np.abs(thresholds - costs[0] / sum(costs)).argmin())
    places = int(costs_of(counts, *costs).argmin()), cheapest(thresholds, counts, *costs), called_for
    return [float(real[place] / real.min() - 1) for place in places]


def show(name: str, rows: list[list[float]]) -> dict[str, list[float]]:
    """Print the mean over trials with its standard error, and return both."""
    table = np.array(rows)
    means, errors = table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(len(table))
    cells = (f"{rule} {100 * mean:5.1f} % ({100 * error:.1f})" for rule, mean, error in zip(RULES, means, errors, strict=True))
    print(f"{name:<32} {'  '.join(cells)}", file=sys.stderr, flush=True)
    return {rule: [round(float(mean), 4), round(float(error), 4)] for rule, mean, error in zip(RULES, means, errors, strict=True)}


def real_scores() -> tuple[np.ndarray, np.ndarray]:
    """Return out-of-fold logits and labels of the training part of seed 0."""
    demo = read_demo("elpv")
    _, test = next(splits("random", elpv_table(), 1))
    train = np.setdiff1d(np.arange(len(demo)), test)
    samples = [demo.samples[i] for i in train]
    backbone = load_backbone("lite0")
    extractor = FeatureExtractor(backbone, choose_parts(backbone, "auto"), "crop")
    features = extractor.extract(samples, [sha256_file(sample.path) for sample in samples])
    labels = np.array([sample.label == "defective" for sample in samples]).astype(np.int64)
    head = fit_head(features, np.eye(2, dtype=np.float32)[labels])
    return head.fold_logits, labels[head.fold_rows]


def main() -> None:
    """Run both parts."""
    rng, found = np.random.default_rng(0), dict[str, dict[str, list[float]]]()
    for kind, (temperature, shift) in KINDS.items():
        judged = made(40_000, temperature, shift, rng)
        for n in (40, 150, 600):
            for costs in COSTS:
                name = f"{kind}, {n} images, {costs[0]:g}:{costs[1]:g}"
                found[name] = show(name, [excess(made(n, temperature, shift, rng), judged, costs) for _ in range(100)])
    logits, labels = real_scores()
    for n in (100, 300, 900):
        for costs in COSTS:
            rows = []
            for _ in range(200):
                order = rng.permutation(len(labels))
                own, others = order[:n], order[len(order) // 2 :]
                temperature = fit_temperature(logits[own], labels[own])
                scores = softmax(logits, temperature)[:, 1]
                rows.append(excess((scores[own], labels[own] == 1), (scores[others], labels[others] == 1), costs))
            name = f"elpv, {n} images, {costs[0]:g}:{costs[1]:g}"
            found[name] = show(name, rows)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
