"""Does the forecast of the learning curve hold? From part of the images to the error with twice as many.

    python benchmarks/forecast.py                          # solar cells: from half of them to all, seeds 0-9
    python benchmarks/forecast.py --grouped                # the same by whole blocks of 60 cells
    python benchmarks/forecast.py --data fashion-mnist     # what the method was chosen on; Debian's dataset-fashion-mnist
    python benchmarks/forecast.py --rows 50000 [--classes 2] [--columns 3424]   # seconds and memory, on made-up features

From a part of n images the curve is measured and continued to twice the images that its folds learn from. The truth is the error by 5-fold
cross-validation over 2 n images, the part among them, as `seefit train` does it. On Fashion-MNIST there are images left for a second
truth: the error on 4,000 further ones of the head fitted on as many images, which is what the interval should hold in 95 of 100.
Prints a line per trial and one JSON line. On the solar cells labels of all images are used: every call counts in the ledger of docs/LOG.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fashion_mnist import read_idx
from seefit.data.dataset import Sample
from seefit.data.demo import read_demo
from seefit.evaluation.evaluate import group_numbers
from seefit.evaluation.forecast import foresee, measure_curve
from seefit.files import sha256_file
from seefit.fitting import open_extractor
from seefit.pipeline import peak_memory_mb
from seefit.settings import make_settings
from seefit.training.head import Head, fit_head

LEARNT = 0.8  # of the images, that a fold's head is fitted on
FURTHER = 4_000  # images for the second truth
FASHION = Path("/usr/share/datasets/fashion-mnist")
IMAGES = 12_000  # of Fashion-MNIST
TRIALS = {  # classes, images of a part, images of a group (0 for none), share of labels drawn by lot
    "two classes": ((0, 6), 400, 0, 0.0),
    "two classes, noisy labels": ((0, 6), 500, 0, 0.2),
    "three classes": ((2, 4, 6), 600, 0, 0.0),
    "three classes in groups": ((2, 4, 6), 600, 15, 0.0),
    "ten classes": (tuple(range(10)), 900, 0, 0.0),
}


@dataclass(frozen=True)
class Images:
    """Features (N, D), labels (N,), weights (N,) and groups (N,) or None."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    groups: NDArray[np.int64] | None

    def some(self, rows: NDArray[np.intp]) -> Images:
        """Return some of the images."""
        groups = None if self.groups is None else np.unique(self.groups[rows], return_inverse=True)[1].astype(np.int64)
        return Images(self.features[rows], self.labels[rows], self.weights[rows], groups)

    @property
    def units(self) -> NDArray[np.int64]:
        """What stays together."""
        return np.arange(len(self.labels)) if self.groups is None else self.groups

    def fit(self, seed: int) -> Head:
        """Return the head as `seefit train` fits it."""
        targets = np.eye(int(self.labels.max()) + 1, dtype=np.float32)[self.labels]
        return fit_head(self.features, targets, weights=self.weights, units=self.units, seed=seed)


def trial(everything: Images, part: NDArray[np.intp], twice: NDArray[np.intp], seed: int) -> dict[str, Any]:
    """Forecast from a part, and look at the error with twice as many.

    Args:
        everything: All images.
        part: Positions of those that the forecast knows.
        twice: Positions of twice as many, ``part`` first.
        seed: Of folds, shares and bootstrap.
    """
    known, double = everything.some(part), everything.some(twice)
    classes, head = int(everything.labels.max()) + 1, known.fit(seed)
    strength = head.strength * len(part)
    curve = measure_curve(
        known.features, known.labels, classes=classes, strength=strength, units=known.units, weights=known.weights, seed=seed
    )
    assert curve is not None
    groups = None if known.groups is None else known.groups[curve.rows]
    outlook = foresee(curve, round(LEARNT * len(part)), groups=groups, seed=seed).ahead[0]
    full = double.fit(seed)
    truth = float((full.fold_logits.argmax(1) != double.labels[full.fold_rows]).mean())
    low, high = outlook.error.low or 0.0, outlook.error.high or 1.0
    found: dict[str, Any] = {"value": outlook.error.value, "low": low, "high": high, "sure": outlook.sure, "truth": truth}
    further = _further(everything, part, twice, seed)
    if further is not None:
        now, then = further
        least, most = outlook.change.low or -1.0, outlook.change.high or 1.0
        found |= {"fell": then < now, "population_inside": low <= then <= high, "change_inside": least <= then - now <= most}
    return found | {"inside": low <= truth <= high}


def _further(everything: Images, part: NDArray[np.intp], twice: NDArray[np.intp], seed: int) -> tuple[float, float] | None:
    """Return the error on further images, learnt from ``part`` and from ``twice``; None where too few are left."""
    rest = np.setdiff1d(np.arange(len(everything.labels)), twice)[:FURTHER]
    if len(rest) < FURTHER // 4:
        return None
    heads = [everything.some(rows[: round(LEARNT * len(rows))]).fit(seed) for rows in (part, twice)]
    now, then = (float((head.logits(everything.features[rest]).argmax(1) != everything.labels[rest]).mean()) for head in heads)
    return now, then


def solar_cells(grouped: bool) -> Images:
    """Return the features of all solar cells, kept or computed."""
    demo = read_demo("demo:elpv")
    features = _features(demo.samples, 300)
    labels = np.array([demo.classes.index(sample.label or "") for sample in demo.samples])
    groups = group_numbers([sample.group for sample in demo.samples]) if grouped else None
    return Images(features, labels, np.array([sample.weight for sample in demo.samples]), groups)


def fashion() -> Images:
    """Return the features of some images of Fashion-MNIST, kept or computed; the labels are all ten classes."""
    images, labels = (read_idx(FASHION / f"train-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    chosen = np.sort(np.random.default_rng(0).choice(len(labels), IMAGES, replace=False))
    with tempfile.TemporaryDirectory() as folder:
        samples = []
        for i in chosen.tolist():
            path = Path(folder) / f"{i:05}.png"
            Image.fromarray(images[i]).save(path)
            samples.append(Sample(path, path.name, str(labels[i])))
        return Images(_features(samples, 28), labels[chosen].astype(np.int64), np.ones(IMAGES), None)


def _features(samples: list[Sample], side: int) -> NDArray[np.float32]:
    extractor = open_extractor(make_settings({"data": "benchmark"}), np.full((1, 2), side))
    return extractor.extract(samples, [sha256_file(sample.path) for sample in samples])


def elpv_trials(grouped: bool, seeds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Forecast from half of the solar cells, or of their blocks, to all of them."""
    cells = solar_cells(grouped)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(np.unique(cells.units)))
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        rows = np.argsort(place[cells.units], kind="stable")
        half = rows[: int((place[cells.units] < len(order) // 2).sum())]
        yield f"solar cells, seed {seed}", trial(cells, half, rows, seed)


def fashion_trials(seeds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Forecast from small parts of Fashion-MNIST."""
    everything = fashion()
    spread = everything.features.std(0)
    for name, (classes, count, of_group, noise) in TRIALS.items():
        for seed in range(seeds):
            rng = np.random.default_rng([seed, count])
            rows = rng.permutation(np.flatnonzero(np.isin(everything.labels, classes)))
            some = everything.some(rows)
            labels, features = np.unique(some.labels, return_inverse=True)[1].astype(np.int64), some.features
            drawn = rng.random(len(labels)) < noise
            labels = np.where(drawn, rng.integers(len(classes), size=len(labels)), labels)
            groups = np.arange(len(labels)) // of_group if of_group else None
            if groups is not None:  # images of a group share a shift of their features, as pictures of one camera do
                features = features + (rng.standard_normal((groups.max() + 1, len(spread))) * spread * 0.2).astype(np.float32)[groups]
            images = Images(features, labels, np.ones(len(labels)), groups)
            yield f"{name}, seed {seed}", trial(images, np.arange(count), np.arange(2 * count), seed)


def timed(rows: int, columns: int, classes: int) -> dict[str, Any]:
    """Return how long the insight takes for made-up features, in seconds of the clock and of processors, and the memory it adds."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=rows)
    features = rng.standard_normal((rows, columns), np.float32)
    features *= (1 / np.sqrt(1 + np.arange(columns))).astype(np.float32)  # as the main directions of real ones fall
    features[:, :64] += (0.08 * rng.standard_normal((classes, 64))).astype(np.float32)[labels]
    before, started, worked = peak_memory_mb(), time.perf_counter(), time.process_time()
    curve = measure_curve(features, labels, classes=classes, strength=0.01 * rows, units=np.arange(rows))
    fitted = time.perf_counter() - started
    found: dict[str, Any] = {"rows": rows, "columns": columns, "classes": classes, "features_mb": round(features.nbytes / 2**20)}
    if curve is not None:
        present = round(LEARNT * rows)
        overall = foresee(curve, present)
        judged = labels[curve.rows]
        for label in range(classes):
            foresee(curve, present, chosen=judged == label)
        found |= {
            "sizes": curve.sizes.round().tolist(),
            "judged": len(curve.rows),
            "repeats": len(curve.wrong),
            "now": overall.now.to_json(),
        }
    seconds = {"curve": fitted, "all": time.perf_counter() - started, "processors": time.process_time() - worked}
    return found | {"seconds": {k: round(v, 1) for k, v in seconds.items()}, "added_mb": round(peak_memory_mb() - before)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["elpv", "fashion-mnist"], default="elpv")
    parser.add_argument("--grouped", action="store_true", help="keep blocks of 60 cells whole")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, help="time so many made-up images instead")
    parser.add_argument("--columns", type=int, default=3424, help="features of a made-up image")
    parser.add_argument("--classes", type=int, default=2, help="of made-up images")
    args = parser.parse_args()
    if args.rows:
        print(json.dumps(timed(args.rows, args.columns, args.classes)))
        return
    trials = elpv_trials(args.grouped, args.seeds) if args.data == "elpv" else fashion_trials(args.seeds)
    found = []
    for name, result in trials:
        found.append(result)
        span = f"{result['value']:.1%} [{result['low']:.1%}, {result['high']:.1%}]"
        print(f"{name}: {span}, truth {result['truth']:.1%}{'' if result['inside'] else ' OUTSIDE'}", flush=True)
    further = [result for result in found if "fell" in result]
    half_widths = [(result["high"] - result["low"]) / 2 for result in found]
    summary = {
        "data": args.data,
        "grouped": args.grouped,
        "trials": len(found),
        "inside": sum(result["inside"] for result in found),
        "half_width": {"mean": float(np.mean(half_widths)), "most": max(half_widths)},
        "bias": float(np.mean([result["value"] - result["truth"] for result in found])),
        "sure": sum(result["sure"] for result in found),
        "further_images": {
            "trials": len(further),
            "inside": sum(result["population_inside"] for result in further),
            "change_inside": sum(result["change_inside"] for result in further),
            "sure": sum(result["sure"] for result in further),
            "sure_and_fell": sum(result["sure"] and result["fell"] for result in further),
        },
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
