"""The ELPV protocol: `seefit train` on 2,624 solar cells, over random splits and over groups.

    python benchmarks/elpv.py --protocol random            # seeds 0-9, 75/25, stratified by rater probability and cell type
    python benchmarks/elpv.py --protocol grouped           # 5 folds over 45 blocks of 60 cells: no block on two sides
    python benchmarks/elpv.py --preset balanced --augment any-way-up --against grouped-fast-lite0-auto-own

Each split is written as a CSV that any rival can read (path, label, split, weight, the rater probability as a soft
target, and for `grouped` group), then trained and judged like any user's data. A split that is done is not done again.
`--against` compares, on the same test images, with splits that were done before. Prints a table and one JSON line; figures of
test parts are read here, so every call with new settings counts in the ledger of docs/LOG.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from seefit.console import QUIET
from seefit.data.dataset import Dataset
from seefit.data.demo import Cell, elpv_table, read_demo
from seefit.data.tables import read_table, write_table
from seefit.pipeline import train
from seefit.settings import make_settings

FIGURES = ("accuracy", "weighted_accuracy", "auc")


def splits(protocol: str, cells: list[Cell], count: int) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Yield (number, indices of the test part)."""
    if protocol == "random":
        strata = [f"{cell.p:.2f}{cell.type}" for cell in cells]
        for seed in range(count):
            cut = StratifiedShuffleSplit(n_splits=1, test_size=0.25, random_state=seed)
            yield seed, next(cut.split(np.zeros(len(cells)), strata))[1]
        return
    labels, groups = [cell.p > 0.5 for cell in cells], [cell.group for cell in cells]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(np.zeros(len(cells)), labels, groups)
    yield from ((number, test) for number, (_, test) in enumerate(folds) if number < count)


def write_csv(path: Path, demo: Dataset, test: np.ndarray[Any, Any], *, grouped: bool) -> None:
    """Write one split for both sides of a comparison."""
    held = set(test.tolist())
    rows = (
        [s.name, s.label, "test" if i in held else "train", s.weight, *(s.target or ()), *([s.group] if grouped else [])]
        for i, s in enumerate(demo.samples)
    )
    targets = [f"p:{name}" for name in demo.classes]
    write_table(path, ["path", "label", "split", "weight", *targets, *(["group"] if grouped else [])], rows)


def run_split(folder: Path, csv: Path, root: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Train on one split, unless that was done before, and return its figures."""
    done = folder / "metrics.json"
    if not done.is_file():
        train(make_settings({"data": str(csv), "root": str(root), "val": 0.0, **options}), out=folder, console=QUIET)
    metrics: dict[str, Any] = json.loads(done.read_text())
    return {name: metrics["test"][name]["value"] for name in FIGURES} | {
        "seconds": metrics["seconds"]["total"],
        "engine": metrics["engine"],
    }


class Pooled:
    """The test predictions of all splits together.

    Args:
        folders: Run folders of the splits.
        demo: The data set, for weights and groups.
    """

    def __init__(self, folders: list[Path], demo: Dataset) -> None:
        table = {sample.name: sample for sample in demo.samples}
        rows = sorted((row for folder in folders for row in read_table(folder / "predictions.csv")), key=lambda row: row["path"])
        self.paths = [row["path"] for row in rows]
        self.truth = np.array([row["label"] == "defective" for row in rows])
        self.score = np.array([float(row["p:defective"]) for row in rows])
        self.right = np.array([row["label"] == row["predicted"] for row in rows])
        self.weights = np.array([table[path].weight for path in self.paths])
        groups = np.array([table[path].group for path in self.paths])
        self.members = [np.flatnonzero(groups == group) for group in np.unique(groups)]

    def judge(self, index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the `FIGURES` of some predictions."""
        right, weights = self.right[index], self.weights[index]
        return np.array([right.mean(), np.average(right, weights=weights), roc_auc_score(self.truth[index], self.score[index])])


def interval(one: Pooled, other: Pooled | None = None, seed: int = 0) -> dict[str, Any]:
    """Return figures, or the differences of two ways on the same images, with 95 % intervals by a bootstrap over the blocks."""

    def value(index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return one.judge(index) - (other.judge(index) if other is not None else 0)

    rng = np.random.default_rng(seed)
    blocks = (rng.integers(0, len(one.members), len(one.members)) for _ in range(2000))
    low, high = np.percentile([value(np.concatenate([one.members[i] for i in drawn])) for drawn in blocks], [2.5, 97.5], axis=0)
    everything = value(np.arange(len(one.paths)))
    return {name: {"value": v, "low": lo, "high": hi} for name, v, lo, hi in zip(FIGURES, everything, low, high, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=["random", "grouped"], default="grouped")
    parser.add_argument("--splits", type=int, help="only the first so many (default: 10 seeds, 5 folds)")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--features", default="auto")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--augment", default="light", help="for a preset that augments")
    parser.add_argument("--with", nargs="*", default=[], metavar="NAME=VALUE", dest="more", help="further settings, as in config.yaml")
    parser.add_argument("--against", metavar="NAME", help="compare with the splits of this name in --out")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-elpv"))
    args = parser.parse_args()
    options = {"backbone": args.backbone, "features": args.features, "image_size": args.image_size, "preset": args.preset}
    name = "-".join(str(value) for value in (args.protocol, args.preset, args.backbone, args.features, args.image_size or "own"))
    if args.preset != "fast":
        options |= {"augment": args.augment, **dict(setting.split("=", 1) for setting in args.more)}
        name = "-".join([name, args.augment, *args.more])
    cells, demo = elpv_table(), read_demo("demo:elpv")
    found: list[dict[str, Any]] = []
    folders: list[Path] = []
    for number, test in splits(args.protocol, cells, args.splits or (10 if args.protocol == "random" else 5)):
        folder = args.out / f"{name}-{number}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        csv = args.out / f"{name}-{number}.csv"
        write_csv(csv, demo, test, grouped=args.protocol == "grouped")
        folders.append(folder)
        found.append(run_split(folder, csv, demo.root, options))
        print(number, {key: round(value, 4) if isinstance(value, float) else value for key, value in found[-1].items()}, flush=True)
    spread = {
        key: {"mean": float(np.mean([f[key] for f in found])), "sd": float(np.std([f[key] for f in found], ddof=1))} for key in FIGURES
    }
    result = {"protocol": args.protocol, **options, "splits": len(found), **spread}
    if args.protocol == "grouped":
        result["pooled"] = interval(Pooled(folders, demo))
    if args.against:
        other = Pooled([args.out / f"{args.against}-{number}" for number in range(len(folders))], demo)
        result["difference"] = interval(Pooled(folders, demo), other)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
