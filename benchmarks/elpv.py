"""The ELPV protocol: `seefit train` on 2,624 solar cells, over random splits and over groups.

    python benchmarks/elpv.py --protocol random            # seeds 0-9, 75/25, stratified by rater probability and cell type
    python benchmarks/elpv.py --protocol grouped           # 5 folds over 45 blocks of 60 cells: no block on two sides

Each split is written as a CSV that any rival can read (path, label, split, weight, and for `grouped` group), then
trained and judged like any user's data. A split that is done is not done again. Prints a table and one JSON line;
figures of test parts are read here, so every call with new settings counts in the ledger of docs/LOG.md.
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
        [s.name, s.label, "test" if i in held else "train", s.weight, *([s.group] if grouped else [])] for i, s in enumerate(demo.samples)
    )
    write_table(path, ["path", "label", "split", "weight", *(["group"] if grouped else [])], rows)


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


def pooled(folders: list[Path], demo: Dataset, seed: int = 0) -> dict[str, Any]:
    """Judge the test predictions of all folds together, with 95 % intervals by a bootstrap over the blocks."""
    table = {sample.name: sample for sample in demo.samples}
    rows = [row for folder in folders for row in read_table(folder / "predictions.csv")]
    truth = np.array([row["label"] == "defective" for row in rows])
    score = np.array([float(row["p:defective"]) for row in rows])
    right = np.array([row["label"] == row["predicted"] for row in rows])
    weights = np.array([table[row["path"]].weight for row in rows])
    groups = np.array([table[row["path"]].group for row in rows])

    def judge(index: np.ndarray[Any, Any]) -> list[float]:
        return [right[index].mean(), np.average(right[index], weights=weights[index]), roc_auc_score(truth[index], score[index])]

    rng, members = np.random.default_rng(seed), [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = [judge(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])) for _ in range(2000)]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return {
        name: {"value": v, "low": lo, "high": hi} for name, v, lo, hi in zip(FIGURES, judge(np.arange(len(rows))), low, high, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=["random", "grouped"], default="grouped")
    parser.add_argument("--splits", type=int, help="only the first so many (default: 10 seeds, 5 folds)")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--features", default="auto")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-elpv"))
    args = parser.parse_args()
    options = {"backbone": args.backbone, "features": args.features, "image_size": args.image_size}
    name = "-".join(str(value) for value in (args.protocol, args.backbone, args.features, args.image_size or "own"))
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
        result["pooled"] = pooled(folders, demo)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
