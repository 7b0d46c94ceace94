"""The exact class map: does it add up, what does it cost, does it depend on what was learnt, and does it point at what matters?

    python benchmarks/explain.py [--data demo:elpv] [--images 200]

Trains a probe with the defaults and explains images that it has not learnt from (validation and test part, evenly spread). No label
is read but for the groups, which intervals keep together. Times are of the processor, on one thread, the ways in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

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
from seefit.evaluation.intervals import Estimate
from seefit.pipeline import train
from seefit.report.record import read_run
from seefit.settings import make_settings

Float = NDArray[np.float32]


def chosen(run: Path, count: int) -> list[SplitRow]:
    """Return images that were not learnt from, evenly spread."""
    rows = [row for row in read_split(run / "split.csv") if row.split != "train"]
    return [rows[i] for i in np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def sums(bundle: Bundle, pictures: list[Float]) -> list[Explanation]:
    """Print how far map and bias are from the logit, over all classes; return the explanations of the predicted ones."""
    found = [bundle.explainer.explain(pixels, label) for pixels in pictures for label in (None, *bundle.classes)]
    off = [abs(float(one.map.sum()) + (one.bias or 0) - one.logit) for one in found]
    print(f"parts of the map against the logit: {len(off)} maps of {len(pictures)} images, largest difference {max(off):.1e}")
    return found[:: 1 + len(bundle.classes)]


def cost(bundle: Bundle, pictures: list[Float]) -> None:
    """Print milliseconds of the processor per image: without the map in the graph, with it there, and with it asked for."""
    whole = bundle.network()
    sessions = [open_session(network, intra_threads=1) for network in (without_class_map(whole), whole, whole)]
    outputs = [["probabilities"], ["probabilities"], ["probabilities", "map", "map_bias"]]
    times = np.empty((len(pictures), 3))
    for row, pixels in zip(times, pictures, strict=True):
        for way, (session, wanted) in enumerate(zip(sessions, outputs, strict=True)):
            started = time.process_time()
            session.run(wanted, {"pixels": pixels[np.newaxis]})
            row[way] = time.process_time() - started
    for name, way in (("plain prediction", 0), ("with the map in the graph, not asked for", 1), ("with the map", 2)):
        ratio = np.median(times[:, way] / times[:, 0])
        print(f"{name}: {1000 * np.median(times[:, way]):.2f} ms per image, {ratio:.3f} times the plain one (medians)")


def told(estimate: Estimate) -> str:
    """Write a figure with its interval."""
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


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
        found = sums(bundle, pictures)
        cost(bundle, pictures)
        maps, labels = [one.map for one in found], [one.label for one in found]
        gone = deletion(bundle.explainer, pictures, maps, groups=groups, seed=0)
        print(f"deletion: {gone.map:.4f} by the map, {gone.random:.4f} by chance, gain {told(gone.gain)}")
        like = likeness_to_random(bundle.network(), bundle.classes, pictures, maps, labels, groups=groups, seed=0)
        for part, estimate in like.items():
            print(f"rank correlation with the map of a model whose {part} is shuffled: {told(estimate)}")


if __name__ == "__main__":
    main()
