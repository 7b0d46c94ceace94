"""How long does the head take when there are many rows, and what does choosing its strength on a sample cost?

    python benchmarks/head_rows.py                               # about 2 minutes
    python benchmarks/head_rows.py --rows 8000 --sample 1000000  # the strength by all folds of all rows, as with few rows

The features are made up but shaped as those of a network: non-negative, correlated, a few directions strong and many
weak. The last line of stdout is one JSON object: per number of rows the seconds (and those of the processor), the peak of memory beyond the
features, the strength, and loss and accuracy on 5,000 rows that the head never saw.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from seefit.training import head as module
from seefit.training.head import fit_head
from seefit.training.solver import cross_entropy

LATENT = 300
NEW_ROWS = 5_000

Float = NDArray[np.float32]


def make_features(rows: int, columns: int, classes: int, seed: int) -> tuple[Float, NDArray[np.int64]]:
    """Return (rows, columns) features and (rows,) labels; the same world for every seed."""
    world, random = np.random.default_rng(0), np.random.default_rng(seed + 1)
    centres = world.normal(size=(classes, LATENT)) * 0.2
    mixing = (world.normal(size=(LATENT, columns)) / np.sqrt(LATENT)).astype(np.float32)
    offset = world.normal(size=columns).astype(np.float32) * 0.5
    labels = np.arange(rows) % classes
    latent = (centres[labels] + random.normal(size=(rows, LATENT))) * np.arange(1, LATENT + 1) ** -0.25
    features = np.maximum(latent.astype(np.float32) @ mixing + offset, 0)
    features += 0.1 * random.standard_normal(features.shape, dtype=np.float32)
    return features, labels


def measure(rows: int, columns: int, classes: int, seed: int) -> dict[str, float]:
    features, labels = make_features(rows, columns, classes, seed)
    targets = np.eye(classes, dtype=np.float32)[labels]
    tracemalloc.start()
    started, busy = time.perf_counter(), time.process_time()
    head = fit_head(features, targets, seed=seed)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - busy
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    new, truth = make_features(NEW_ROWS, columns, classes, seed + 1)
    logits = head.logits(new)
    scored = head.fold_logits.argmax(1) == labels[head.fold_rows]
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_mib": round(peak / 2**20),
        "strength": head.strength,
        "new_nll": round(cross_entropy(logits, np.eye(classes, dtype=np.float32)[truth], np.ones(NEW_ROWS)), 4),
        "new_accuracy": round(float((logits.argmax(1) == truth).mean()), 4),
        "folds": head.folds,
        "fold_rows": len(head.fold_rows),
        "fold_accuracy": round(float(scored.mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 4_000, 8_000, 20_000])
    parser.add_argument("--columns", type=int, default=3_504)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, help="rows up to which all folds see every strength")
    given = parser.parse_args()
    if given.sample is not None:
        module.MAX_PATH_ROWS = given.sample
    found = []
    for rows in given.rows:
        found.append(measure(rows, given.columns, given.classes, given.seed))
        print(" ".join(f"{key} {value}" for key, value in found[-1].items()), file=sys.stderr, flush=True)
    print(json.dumps({"columns": given.columns, "classes": given.classes, "runs": found}))


if __name__ == "__main__":
    main()
