"""Does the model notice what it was not taught? Each class of Fashion-MNIST left out in turn, the rest learnt from 500 images a class.

    python benchmarks/unknown.py                # scores all 10,000 test images
    python benchmarks/unknown.py --dev          # scores 500 further training images a class instead: to choose by

A probe on Lite0's features; no validation part, so the limit comes from out-of-fold scores of the training part, at 5 % false
refusals as in every bundle. Prints a row per class left out: AUROC of test images of the known classes against those of the class
left out, for the sum and for each of its signs, for the highest probability alone, and the share of either that is refused; then the
means, with 95 % intervals from a bootstrap over the scored images. Test parts are read here: count the call in docs/LOG.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from fashion_mnist import CLASSES, write
from seefit.bundle.unknown import LIMIT
from seefit.data.dataset import Sample
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.roc import class_aucs, ranked_classes
from seefit.files import sha256_file
from seefit.fitting import begin, open_extractor
from seefit.parts import Part
from seefit.settings import make_settings
from seefit.training.features import FeatureExtractor
from seefit.trusting import fit_trust

TRAIN, DEV, TEST = 500, 500, 1000  # images of a class
SIGNS = ("energy", "relative", "nearest")
Array = np.ndarray[Any, Any]


def read_part(folder: Path, first: int, last: int) -> Part:
    """Return the images of each class from the first to before the last, in the order of their names."""
    files = [(name, path) for name in CLASSES for path in sorted((folder / name).glob("*.png"))[first:last]]
    samples = [Sample(path, f"{name}/{path.name}", name) for name, path in files]
    return Part(samples, [sha256_file(sample.path) for sample in samples], np.arange(len(samples)))


def without(part: Part, name: str) -> Part:
    """Return a part without one class."""
    rows = [i for i, sample in enumerate(part.samples) if sample.label != name]
    return Part([part.samples[i] for i in rows], [part.sha256[i] for i in rows], np.arange(len(rows)))


def score(extractor: FeatureExtractor, train: Part, scored: Array, left_out: str) -> dict[str, Array]:
    """Return, for every scored image, the sum, its signs, and what the highest probability lacks, after learning all classes but one."""
    settings = make_settings({"data": "fashion-mnist", "val": 0.0})
    classes = tuple(name for name in CLASSES if name != left_out)
    learnt = without(train, left_out)
    fitted = begin(settings, extractor, classes, learnt)
    familiar = fit_trust(fitted, settings, classes, learnt).familiar
    if familiar is None:
        raise RuntimeError("no limit")
    logits = fitted.head.logits(scored)
    signs = familiar.signs(scored, logits)
    sure = 1 - softmax(logits, fitted.temperature).max(1)
    return {"sum": familiar.scores(scored, logits), **dict(zip(SIGNS, signs.T, strict=True)), "probability": sure}


def auroc(scores: Array, unknown: Array, counts: Array) -> Array:
    """Return the AUROC of each resample; counts (N, R) tell how often each image is drawn."""
    table = np.stack([-scores, scores], axis=1)
    found: Array = class_aucs(ranked_classes(table, unknown.astype(np.intp)), 2, counts)[1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="score further training images instead of the test part")
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-unknown"))
    args = parser.parse_args()
    write(args.source, "train", args.folder / "train", TRAIN + DEV)
    if not args.dev:
        write(args.source, "t10k", args.folder / "test", TEST)
    train = read_part(args.folder / "train", 0, TRAIN)
    judged = read_part(args.folder / "train", TRAIN, TRAIN + DEV) if args.dev else read_part(args.folder / "test", 0, TEST)
    extractor = open_extractor(make_settings({"data": "fashion-mnist"}), np.full((len(train.samples), 2), 28))
    scored, labels = extractor.extract(judged.samples, judged.sha256, exact=True), np.array([s.label for s in judged.samples])
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), 200).T.astype(np.float32)
    counts = np.concatenate([np.ones((len(labels), 1), np.float32), counts], axis=1)  # the first column: the images as they are
    found: dict[str, list[Array]] = {}
    for name in CLASSES:
        scores = score(extractor, train, scored, name)
        unknown = labels == name
        row = {kind: auroc(values, unknown, counts) for kind, values in scores.items()}
        refused = (scores["sum"] > LIMIT)[:, None] * counts
        row |= {kind: refused[rows].sum(0) / counts[rows].sum(0) for kind, rows in (("false refusals", ~unknown), ("refused", unknown))}
        for kind, values in row.items():
            found.setdefault(kind, []).append(values)
        print(json.dumps({"left out": name, **{kind: round(float(values[0]), 4) for kind, values in row.items()}}), flush=True)
    for kind, rows in found.items():
        means = np.mean(rows, axis=0)
        low, high = np.quantile(means[1:], [0.025, 0.975])
        plain = [float(values[0]) for values in rows]
        print(f"{kind}: mean {means[0]:.4f} [{low:.4f}, {high:.4f}], from {min(plain):.4f} to {max(plain):.4f}")


if __name__ == "__main__":
    main()
