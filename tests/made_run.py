"""A finished run folder made by hand, as training would leave it: for the tests of the report and the card."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml


def interval(value: float, half: float = 0.02) -> dict[str, float]:
    """Return a metric as metrics.json holds it."""
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def write_rows(path: Path, header: list[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV file."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


def made_scores(n: int, accuracy: float, balanced: float, baseline: float, half: float) -> dict[str, Any]:
    """Return the metrics of one part."""
    return {
        "n": n,
        "accuracy": interval(accuracy, half),
        "balanced_accuracy": interval(balanced, half),
        "weighted_accuracy": interval(min(1.0, accuracy + 0.012), half),
        "macro_f1": interval(balanced, half),
        "auc": interval(min(1.0, balanced + 0.06), half),
        "nll": interval(0.34),
        "brier": interval(0.21),
        "ece": interval(0.031, 0.012),
        "majority_baseline": interval(baseline, half),
        "gain": {"value": accuracy - baseline, "low": round(accuracy - baseline - half, 9), "high": accuracy - baseline + half},
    }


def make_run(
    run: Path, photos: dict[str, list[Path]], *, root: Path, wrong: float = 0.14, half: float = 0.025, seed: int = 0, **changes: Any
) -> Path:
    """Write a run folder whose test part is the given photographs.

    Args:
        run: The folder to make.
        photos: Class → files below ``root``.
        root: Root of the dataset.
        wrong: Share of wrong predictions.
        half: Half-width of the intervals.
        seed: Seed of the predictions.
        changes: Top-level entries of metrics.json to replace.
    """
    classes, rng = list(photos), np.random.default_rng(seed)
    rows = [(path, label) for label, paths in photos.items() for path in paths]
    predicted = [_predict(rng, classes, label, wrong) for _, label in rows]
    (run / "bundle").mkdir(parents=True)
    names = [path.relative_to(root).as_posix() for path, _ in rows]
    _write_predictions(run, names, rows, predicted, classes)
    digest = [hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path, _ in rows]
    weights = [1.0 if i % 3 else 0.3333333 for i in range(len(rows))]
    split = [[name, label, "test", "", w, d] for name, (_, label), w, d in zip(names, rows, weights, digest, strict=True)]
    write_rows(run / "split.csv", ["path", "label", "split", "group", "weight", "sha256"], split)
    write_rows(
        run / "skipped.csv", ["path", "reason", "bytes"], [["x/half.png", "truncated PNG", 812], ["x/page.jpg", "HTML, not an image", 90]]
    )
    path_rows = [
        [10.0**k, 0.36 + 0.05 * (k + 1) ** 2 / 4, 0.86 - 0.02 * (k + 1) ** 2 / 4, 0.3 + 0.03 * k, 0.9 - 0.02 * k] for k in range(-4, 3)
    ]
    write_rows(run / "history.csv", ["strength", "fold_nll", "fold_balanced_accuracy", "train_nll", "train_balanced_accuracy"], path_rows)
    _write_settings(run, root, classes)
    metrics = _metrics(rows, predicted, classes, half)
    if changes.get("headline") == "val":
        metrics |= {"val": metrics["test"], "test": None}
    (run / "metrics.json").write_text(json.dumps(metrics | changes, ensure_ascii=False), encoding="utf-8")
    return run


def _predict(rng: np.random.Generator, classes: list[str], label: str, wrong: float) -> list[float]:
    """Return probabilities whose largest is the label's but for a share of ``wrong``."""
    logits = rng.normal(0.0, 1.0, len(classes))
    other = int(rng.integers(len(classes)))
    logits[classes.index(label) if rng.random() > wrong else other] += 3.0 + abs(rng.normal())
    weights = np.exp(logits)
    return [float(p) for p in weights / weights.sum()]


def _write_predictions(run: Path, names: list[str], rows: list[tuple[Path, str]], predicted: list[list[float]], classes: list[str]) -> None:
    table: list[list[object]] = []
    many = len(classes) > 100
    for name, (_, label), p in zip(names, rows, predicted, strict=True):
        best = np.argsort(p)[::-1]
        top = [cell for i in best[:5] for cell in (classes[i], f"{p[i]:.6f}")]
        table.append([name, label, classes[best[0]], *(top if many else [f"{value:.6f}" for value in p])])
    columns = [f"{kind}{i}" for i in range(1, 6) for kind in ("top", "p")] if many else [f"p:{name}" for name in classes]
    write_rows(run / "predictions.csv", ["path", "label", "predicted", *columns], table)


def _write_settings(run: Path, root: Path, classes: list[str]) -> None:
    config = {
        "data": "demo:elpv", "root": None, "method": "probe", "backbone": "lite0", "features": "stages", "image_size": 224,
        "fit": "auto", "val": 0.15, "test": 0.15, "seed": 0, "group_by": "group",
        "max_pixels": 100_000_000, "follow_links": False, "sha256": None,
        "resolved": {"root": str(root), "backbone": "tf_efficientnet_lite0", "fit": "squash", "engine": "openvino bf16", "cut": str(root)},
    }  # fmt: skip
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    bundle = {
        "format": 1, "classes": classes, "method": "probe", "backbone": "tf_efficientnet_lite0", "image_size": 224, "fit": "squash",
        "features": ["blocks.2", "blocks.4", "blocks.6"], "temperature": 1.31, "hash": "9f2c" * 16,
    }  # fmt: skip
    (run / "bundle" / "bundle.json").write_text(json.dumps(bundle, ensure_ascii=False), encoding="utf-8")


def _metrics(rows: list[tuple[Path, str]], predicted: list[list[float]], classes: list[str], half: float) -> dict[str, Any]:
    labels = [label for _, label in rows]
    said = [classes[int(np.argmax(p))] for p in predicted]
    counts = Counter(labels)
    hits = Counter(label for label, answer in zip(labels, said, strict=True) if label == answer)
    named = Counter(said)
    recall = {name: hits[name] / max(1, counts[name]) for name in classes}
    scores = made_scores(
        len(rows), sum(hits.values()) / len(rows), float(np.mean(list(recall.values()))), max(counts.values()) / len(rows), half
    )
    per_class = {
        name: {
            "n": counts[name],
            "recall": interval(recall[name], 0.05),
            "precision": interval(hits[name] / max(1, named[name]), 0.05),
            "f1": interval(2 * hits[name] / max(1, counts[name] + named[name]), 0.05),
        }
        for name in classes
    }
    return {
        "headline": "test",
        "test": scores,
        "val": made_scores(len(rows), 0.871, 0.855, 0.68, half),
        "cross_validation": {**made_scores(5 * len(rows), 0.866, 0.849, 0.68, half / 2), "folds": 5, "engine": "openvino bf16"},
        "per_class": per_class,
        "temperature": 1.31,
        "notes": ["Groups are blocks of 60 cells, an approximation of the modules."],
        "seconds": {"scan": 4.1, "features": 9.3, "fit": 1.8, "evaluate": 2.2, "total": 18.9},
        "images_per_second": 282.4,
        "peak_memory_mb": 913.0,
        "versions": {"seefit": "0.1.0", "python": "3.11.9", "torch": "2.10.0", "onnxruntime": "1.23"},
        "engine": "openvino bf16",
        "counts": {"train": {n: 7 * c for n, c in counts.items()}, "val": {n: 2 * c for n, c in counts.items()}, "test": dict(counts)},
        "skipped": 2,
    }
