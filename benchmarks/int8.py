"""What int8 costs and brings: accuracy on the validation part of `demo:elpv` with its interval, and images/s against fp32.

    python benchmarks/int8.py [RUN]

Without a RUN one is trained on `demo:elpv` first. Accuracy is that of the validation part, before and after, image by image; no test
label is read. Speed: decoded photographs of 300 px through preprocess and network, batches of two, the two in turn so that both see the
same machine; medians of processor time on one thread and of wall time on all. Prints a table and one JSON line.
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

from seefit.bundle.bundle import Bundle, load
from seefit.bundle.runtime import BATCH, in_batches, ordered_map
from seefit.console import Console
from seefit.data.image import decode
from seefit.deploy.finished import open_finished
from seefit.deploy.int8 import write_int8_export
from seefit.environment import threads
from serving_client import run_of

IMAGES = 128
ROUNDS = 7


def answer(bundle: Bundle, images: list[Any]) -> None:
    bundle.reference.run(np.stack([bundle.reference.pixels(image) for image in images]), ["probabilities"])


def seconds(bundle: Bundle, images: list[Any]) -> tuple[float, float]:
    """Return processor seconds an image on one thread, and wall seconds an image on all."""
    batches = list(in_batches(images, BATCH))
    start = time.process_time()
    for batch in batches[: len(batches) // 2]:
        answer(bundle, batch)
    alone = (time.process_time() - start) / (len(images) / 2)
    begun = time.monotonic()
    list(ordered_map(lambda batch: answer(bundle, batch), batches, workers=threads()))
    return alone, (time.monotonic() - begun) / len(images)


def compare(run: Path, place: Path) -> None:
    finished = open_finished(run)
    change = write_int8_export(finished, place, max_drop=100, console=Console())
    print(change.sentence(), file=sys.stderr)
    images = [decode(sample.path) for sample in finished.part("val").samples[:IMAGES]]
    bundles = {"fp32": finished.bundle, "int8": load(place)}
    for bundle in bundles.values():
        seconds(bundle, images[: 2 * BATCH])
    rounds = [{name: seconds(bundle, images) for name, bundle in bundles.items()} for _ in range(ROUNDS)]
    found = {name: np.median([one[name] for one in rounds], axis=0) for name in bundles}
    print(f"{'':<6}{'ms/image, one thread':>22}{'images/s, all threads':>24}", file=sys.stderr)
    for name, (alone, together) in found.items():
        print(f"{name:<6}{1e3 * alone:>22.2f}{1 / together:>24.1f}", file=sys.stderr)
    alone, together = found["fp32"] / found["int8"]
    rates = {name: {"processor_ms": 1e3 * times[0], "images_per_second": 1 / times[1]} for name, times in found.items()}
    print(json.dumps({"accuracy": change.sentence(), **rates, "faster": {"processor": alone, "wall": together}}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    with run_of(parser.parse_args().run) as run, tempfile.TemporaryDirectory() as folder:
        compare(run, Path(folder))


if __name__ == "__main__":
    main()
