"""Does ``--backbone auto`` keep its time, and how much worse is what it chooses than what a full study would choose?

    python benchmarks/backbone_auto.py                       # features kept, 20 resamples
    python benchmarks/backbone_auto.py --empty --resamples 3 # each from an empty cache of features, in real time

A resample is a random 60 to 80 % (whole groups) of training and validation part of `demo:elpv`; its test part is never looked at. The
truth is a study on all images of the resample: 10 times 3 folds, all networks on the same ones. Regret is how much lower the chosen
network's balanced accuracy is there than the best one's, in points. Choice and study see the same images, which flatters the choice;
beside it stands the regret by a study of all 2,214 images. Networks are turned into ONNX beforehand, which a first run does within its
time, too: it then looks at fewer of them, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.choosing import choose_backbone
from seefit.environment import cache_folder
from seefit.evaluation.forecast import growing_order
from seefit.fitting import open_extractor
from seefit.gathering import gather
from seefit.members import backbones_here
from seefit.parts import Part
from seefit.settings import Settings, make_settings
from seefit.studies.folds import make_study_folds
from seefit.studies.probing import fit_folds, make_probe

FOLDS, REPEATS = 3, 10


def main() -> None:
    """Choose on every resample; print seconds, choices and regret."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--empty", action="store_true", help="begin each choice with an empty cache of features")
    arguments = parser.parse_args()
    settings = make_settings({"data": "demo:elpv", "backbone": "auto", "minutes": arguments.minutes})
    gathered = gather(settings, None)
    classes, some = gathered.dataset.classes, np.sort(np.concatenate([gathered.split.index(part) for part in ("train", "val")]))
    samples, sha256 = ([values[i] for i in some] for values in (gathered.seen.samples, gathered.seen.sha256))
    pool, sizes = Part(samples, sha256, np.asarray(gathered.split.units, np.int64)[some]), gathered.seen.sizes[some]
    features = {name: features_of(settings, name, pool, sizes) for name in backbones_here()}
    everything, rows = study(features, pool, np.arange(len(some)), classes), []
    for number in range(arguments.resamples):
        rng = np.random.default_rng(number)
        chosen = np.sort(growing_order(pool.labels(classes), pool.units, rng)[: int(rng.uniform(0.6, 0.8) * len(some))])
        own = settings.model_copy(update={"seed": number})
        choice = (
            choose_empty(own, pool.subset(chosen), sizes[chosen], classes)
            if arguments.empty
            else choose_backbone(own, pool.subset(chosen), sizes[chosen], classes)
        )
        truth = study(features, pool, chosen, classes)
        rows.append({**summary(choice, truth, everything), "truth": {name: round(100 * value, 2) for name, value in truth.items()}})
        print(f"{number:>3} {json.dumps(rows[-1])}", file=sys.stderr)
    print(json.dumps(figures(rows)))


def features_of(settings: Settings, name: str, part: Part, sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features of all images by one network, kept or computed."""
    return open_extractor(settings.model_copy(update={"backbone": name}), sizes).extract(part.samples, part.sha256)


def study(features: dict[str, NDArray[np.float32]], pool: Part, rows: NDArray[np.intp], classes: tuple[str, ...]) -> dict[str, float]:
    """Return the mean balanced accuracy of each network over the folds of a study."""
    part = pool.subset(rows)
    labels, targets = part.labels(classes), part.one_hot(classes)
    folds, found = make_study_folds(labels, part.units, folds=FOLDS, repeats=REPEATS, seed=1), {}
    for name, table in features.items():
        probe = make_probe(table[rows], 1, targets, weights=part.weights(), units=part.units, seed=1)
        answers = zip(folds, fit_folds(probe, folds, lambda fold: fold.train), strict=True)
        found[name] = float(np.mean([balanced(answer.held_out.argmax(1), labels[fold.held_out]) for fold, answer in answers]))
    return found


def balanced(predicted: NDArray[np.intp], labels: NDArray[np.int64]) -> float:
    """Return the mean recall of the classes."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def choose_empty(settings: Settings, part: Part, sizes: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any]:
    """Choose with the networks converted and no features kept."""
    before, kept = os.environ.get("SEEFIT_CACHE"), cache_folder("backbones")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(kept, Path(folder) / "backbones")
        os.environ["SEEFIT_CACHE"] = folder
        try:
            return choose_backbone(settings, part, sizes, classes)
        finally:
            os.environ.pop("SEEFIT_CACHE") if before is None else os.environ.update(SEEFIT_CACHE=before)


def summary(choice: dict[str, Any], truth: dict[str, float], everything: dict[str, float]) -> dict[str, Any]:
    """Return what one choice was and cost; regret in points, by the study of the resample and by that of all images."""
    name = choice["backbone"]
    regret, of_all = (round(100 * (max(figures.values()) - figures[name]), 2) for figures in (truth, everything))
    return {
        "backbone": name,
        "why": choice["why"],
        "seconds": choice["seconds"],
        "images": choice["images"],
        "regret": regret,
        "of_all": of_all,
    }


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean regret with its 95 % interval over resamples, and the longest time."""
    regret = np.array([row["regret"] for row in rows])
    half = 1.96 * regret.std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else float("nan")
    return {
        "resamples": len(rows),
        "regret": round(float(regret.mean()), 2),
        "interval": [round(float(regret.mean() - half), 2), round(float(regret.mean() + half), 2)],
        "regret_of_all": round(float(np.mean([row["of_all"] for row in rows])), 2),
        "seconds": {"mean": round(float(np.mean([row["seconds"] for row in rows])), 1), "most": max(row["seconds"] for row in rows)},
        "chosen": {name: sum(row["backbone"] == name for row in rows) for name in sorted({row["backbone"] for row in rows})},
    }


if __name__ == "__main__":
    main()
