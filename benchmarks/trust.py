"""Do stated probabilities, sets of classes and refusals hold on solar cells? The `random` splits of the ELPV protocol, probes on Lite0.

    python benchmarks/trust.py                  # 20 splits; seconds each once the features are kept

No validation part: temperature, sets and the limit of "none of these" come from out-of-fold scores of the training part. For each split
of 656 test cells, by the reference: how often the sets hold the true class, over all and per class, and their size, for randomised APS
with one limit and with a limit per class, and for sets as bundles have them (a limit per class, the likeliest class kept); false refusals
at the stated 5 %; and on the first ten splits the calibration error (15 equal bins of the highest probability) beside what a perfectly
calibrated model would show, and the log loss before and after the temperature. Test parts are read here: count the call in docs/LOG.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import numpy as np

from elpv import splits
from seefit.bundle.sets import content_draws
from seefit.bundle.unknown import LIMIT
from seefit.data.demo import elpv_table, read_demo
from seefit.data.scan import scan
from seefit.data.split import make_split
from seefit.evaluation.calibrate import ece_floor, softmax
from seefit.evaluation.conformal import fit_sets, judge_sets
from seefit.evaluation.metrics import score
from seefit.fitting import begin, open_extractor
from seefit.parts import Part
from seefit.settings import make_settings
from seefit.training.features import FeatureExtractor
from seefit.trusting import fit_trust

ECE_SPLITS = 10
Array = np.ndarray[Any, Any]


def judge_split(extractor: FeatureExtractor, whole: Part, classes: tuple[str, ...], test: Array) -> dict[str, float]:
    """Return what a probe of all other images gives on the test images."""
    settings = make_settings({"data": "demo:elpv", "val": 0.0})
    train, judged = part_of(whole, np.setdiff1d(np.arange(len(whole.samples)), test)), part_of(whole, test)
    fitted = begin(settings, extractor, classes, train)
    trust = fit_trust(fitted, settings, classes, train)
    features = fitted.extractor.extract(judged.samples, judged.sha256, exact=True)
    logits, labels = fitted.head.logits(features), judged.labels(classes)
    table, draws = softmax(logits, fitted.temperature), content_draws(judged.sha256)
    rows = fitted.head.fold_rows
    known = (
        softmax(fitted.head.fold_logits, fitted.temperature),
        train.labels(classes)[rows],
        content_draws([train.sha256[i] for i in rows]),
    )
    found: dict[str, float] = {}
    aps: dict[str, Any] = {"penalty": 0.0, "keeps_first": False}
    rules = {"APS": fit_sets(*known, per_class=False, **aps), "APS per class": fit_sets(*known, **aps), "bundle": trust.sets}
    for name, rule in rules.items():
        assert rule is not None
        figures = judge_sets(rule, table, labels, draws)
        values = [figures.coverage, *figures.per_class, figures.size]
        found |= {f"{name}: {kind}": value.value or 0.0 for kind, value in zip(("coverage", *classes, "size"), values, strict=True)}
    assert trust.familiar is not None
    found["false refusals"] = float((trust.familiar.scores(features, logits) > LIMIT).mean())
    found["accuracy"] = float((table.argmax(1) == labels).mean())
    found |= {"ece": score("ece", table, labels), "ece before": score("ece", softmax(logits), labels), "ece floor": ece_floor(table)[0]}
    found |= {"nll": score("nll", table, labels), "nll before": score("nll", softmax(logits), labels), "temperature": fitted.temperature}
    return found


def part_of(whole: Part, rows: Array) -> Part:
    """Return some images of a part."""
    return Part([whole.samples[i] for i in rows], [whole.sha256[i] for i in rows], whole.units[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=20)
    args = parser.parse_args()
    demo = read_demo("demo:elpv")
    samples = [replace(sample, group=None) for sample in demo.samples]
    seen = scan(demo)
    if seen.samples != demo.samples:
        raise RuntimeError("cells are missing")
    units = make_split(samples, seen.sha256, seen.clusters, val=0, test=0).units
    whole = Part(samples, seen.sha256, np.asarray(units, np.int64))
    extractor = open_extractor(make_settings({"data": "demo:elpv"}), seen.sizes)
    rows: list[dict[str, float]] = []
    for number, test in splits("random", elpv_table(), args.splits):
        rows.append(judge_split(extractor, whole, demo.classes, test))
        print(number, json.dumps({name: round(value, 4) for name, value in rows[-1].items()}), flush=True)
    for name in rows[0]:
        values = np.array([row[name] for row in (rows[:ECE_SPLITS] if name.startswith(("ece", "nll")) else rows)])
        spread = f"sd {values.std(ddof=1):.4f}, from {values.min():.4f} to {values.max():.4f}"
        print(f"{name}: mean {values.mean():.4f}, {spread}, {len(values)} splits")


if __name__ == "__main__":
    main()
