"""The exact class map: does it add up, what does it cost, does it depend on what was learnt, and does it point at what matters?

    python benchmarks/explain.py [--data demo:elpv] [--images 200]

Trains a probe with the defaults and explains images that it has not learnt from (validation and test part, evenly spread). No label
is read but for the groups, which intervals keep together. Times are of the processor, on one thread, the ways in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle, load
from seefit.bundle.class_map import without_class_map
from seefit.bundle.explanation import Explanation
from seefit.bundle.runtime import open_session
from seefit.data.image import decode
from seefit.data.splitfile import SplitRow, read_split
from seefit.evaluation.evaluate import group_numbers
from seefit.evaluation.explain import deletion, likeness_to_random
from seefit.pipeline import train
from seefit.report.record import read_run
from seefit.settings import make_settings

Float = NDArray[np.float32]


def chosen(run: Path, count: int) -> list[SplitRow]:
    """Return images that were not learnt from, evenly spread."""
    rows = [row for row in read_split(run / "split.csv") if row.split != "train"]
    return [rows[i] for i in np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def sums(bundle: Bundle, pictures: list[Float]) -> tuple[list[Explanation], dict[str, float]]:
    """Return the explanations of the predicted classes, and how far map and bias are from the logit over all classes."""
    found = [bundle.explainer.explain(pixels, label) for pixels in pictures for label in (None, *bundle.classes)]
    off = [abs(float(one.map.sum()) + (one.bias or 0) - one.logit) for one in found]
    return found[:: 1 + len(bundle.classes)], {"maps": len(off), "images": len(pictures), "largest_difference": max(off)}


def cost(bundle: Bundle, pictures: list[Float]) -> dict[str, float]:
    """Return median milliseconds of the processor per image: without the map in the graph, with it there, and with it asked for."""
    whole = bundle.network()
    sessions = [open_session(network, intra_threads=1) for network in (without_class_map(whole), whole, whole)]
    outputs = [["probabilities"], ["probabilities"], ["probabilities", "map", "map_bias"]]
    times = np.empty((len(pictures), 3))
    for row, pixels in zip(times, pictures, strict=True):
        for way, (session, wanted) in enumerate(zip(sessions, outputs, strict=True)):
            started = time.process_time()
            session.run(wanted, {"pixels": pixels[np.newaxis]})
            row[way] = time.process_time() - started
    plain, there, asked = (1000 * np.median(times, 0)).round(3).tolist()
    return {"plain": plain, "map_not_asked_for": there, "map": asked, "ratio": round(float(np.median(times[:, 2] / times[:, 0])), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo:elpv")
    parser.add_argument("--images", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = train(make_settings({"data": args.data}), out=Path(folder) / "run").path
        bundle, rows, root = load(run), chosen(run, args.images), Path(read_run(run, rows=False).config["root"])
        pictures = [bundle.reference.pixels(decode(root / row.path)) for row in rows]
        groups = group_numbers([row.group for row in rows])
        found, adds_up = sums(bundle, pictures)
        times = cost(bundle, pictures)
        maps, labels = [one.map for one in found], [one.label for one in found]
        gone = deletion(bundle.explainer, pictures, maps, groups=groups, seed=0)
        like = likeness_to_random(bundle.network(), bundle.classes, pictures, maps, labels, groups=groups, seed=0)
        table: dict[str, Any] = {"map and bias against the logit": adds_up, "milliseconds": times}
        table["deletion"] = {"map": gone.map, "random": gone.random, "gain": gone.gain.to_json()}
        table |= {f"rank correlation, {part} shuffled": estimate.to_json() for part, estimate in like.items()}
        for name, figures in table.items():
            print(f"{name}: {figures}", file=sys.stderr)
        print(json.dumps(table))


if __name__ == "__main__":
    main()
