"""What int8 costs and brings: accuracy on the validation part of `demo:elpv` with its interval, and images/s against fp32.

    python benchmarks/int8.py [RUN]

Without a RUN it trains one on `demo:elpv` first. Accuracy is that of the validation part, before and after, image by image; no test
label is read. Speed: decoded photographs of 300 px through preprocess and network, batches of two, the two in turn so that both see the
same machine; medians of processor time on one thread and of wall time on all.
"""

from __future__ import annotations

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
from seefit.pipeline import train
from seefit.settings import make_settings

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


def main(run: Path, place: Path) -> None:
    finished = open_finished(run)
    change = write_int8_export(finished, place, max_drop=100, console=Console())
    print(change.sentence())
    images = [decode(sample.path) for sample in finished.part("val").samples[:IMAGES]]
    bundles = {"fp32": finished.bundle, "int8": load(place)}
    for bundle in bundles.values():
        seconds(bundle, images[: 2 * BATCH])
    rounds = [{name: seconds(bundle, images) for name, bundle in bundles.items()} for _ in range(ROUNDS)]
    found = {name: np.median([one[name] for one in rounds], axis=0) for name in bundles}
    print(f"{'':<6}{'ms/image, one thread':>22}{'images/s, all threads':>24}")
    for name, (alone, together) in found.items():
        print(f"{name:<6}{1e3 * alone:>22.2f}{1 / together:>24.1f}")
    gain = found["fp32"] / found["int8"]
    print(f"int8 is {gain[0]:.2f} times as fast on one thread (processor time), {gain[1]:.2f} times on all (wall time)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else train(make_settings({"data": "demo:elpv"}), out=Path(folder, "run")).path
        (Path(folder) / "int8").mkdir()
        main(given, Path(folder) / "int8")
