"""Does seefit stay fast and small on a big folder? Decoding alone, `seefit check` and `seefit train`, on generated JPEG files.

    python benchmarks/big_folder.py                                  # 5,000 and 50,000 files; about 15 minutes, 1 GB of disk
    python benchmarks/big_folder.py --images 500 --folder build/big  # quick; keeps the files for the next time

The images are 256 px, in 20 classes that differ in hue, grain and direction, and the same ones on every machine.
Everything runs as a user would run it, each command in its own process with its own empty cache folder. The last
line of stdout is one JSON object; `check_over_decode` is the time of `seefit check` (the whole process) over that
of decoding the same files on all cores, and `growth_bytes_per_image` is how much the peak memory of `seefit train`
grows with every further image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.data.image import decode
from seefit.environment import threads

CLASSES = 20
SIDE = 256
CHUNK = 250
SAMPLE_SECONDS = 0.1
MIB = 2**20


def draw(index: int) -> NDArray[np.uint8]:
    """Return image number ``index``: a soft random scene, which no two images share, under the stripes and hue of its class."""
    random = np.random.default_rng([2026, index])
    label = index % CLASSES
    scene = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    angle, frequency = np.pi * (label % 5) / 5 + random.normal(0, 0.08), 0.08 + 0.05 * (label // 5)
    turns = (rows * np.sin(angle) + columns * np.cos(angle)).astype(np.float32) * np.float32(2 * np.pi * frequency)
    stripes = np.sin(turns + np.float32(random.uniform(0, 2 * np.pi)))
    tint = (30 * np.cos(2 * np.pi * (label / CLASSES + np.arange(3) / 3) + random.normal(0, 0.3))).astype(np.float32)
    grain = 6 * random.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
    pixels: NDArray[np.float32] = 0.6 * np.asarray(scene, np.float32) + 40 + 22 * stripes[..., None] + tint + grain
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_chunk(folder: Path, start: int, stop: int) -> None:
    for index in range(start, stop):
        path = folder / f"class {index % CLASSES + 1}" / f"{index:06d}.jpg"
        Image.fromarray(draw(index)).save(path, quality=80)


def generate(folder: Path, images: int) -> float:
    """Fill ``folder`` with images unless an earlier run did; return the seconds it took."""
    done = folder / ".complete"  # hidden, so that seefit does not see it either
    if done.is_file() and done.read_text() == str(images):
        return 0.0
    started = time.monotonic()
    for label in range(CLASSES):
        (folder / f"class {label + 1}").mkdir(parents=True, exist_ok=True)
    starts = range(0, images, CHUNK)
    with ProcessPoolExecutor(threads()) as pool:
        list(pool.map(write_chunk, [folder] * len(starts), starts, [min(start + CHUNK, images) for start in starts]))
    done.write_text(str(images))
    return time.monotonic() - started


def decode_all(folder: Path) -> float:
    """Return the seconds that decoding every image takes on all cores, and nothing else."""
    paths = list(folder.glob("*/*.jpg"))
    started = time.monotonic()
    with ThreadPoolExecutor(threads()) as pool:
        for _ in pool.map(lambda path: decode(path).shape, paths):
            pass
    return time.monotonic() - started


@dataclass
class Finished:
    """What one process took.

    Attributes:
        answer: What it printed on stdout, as JSON.
        seconds: From start to end.
        peak_mb: The largest resident memory of one process, pages of mapped files (the feature cache) included.
        own_peak_mb: The largest sum over the process and its children of memory that is not a file's.
    """

    answer: Any
    seconds: float
    peak_mb: float
    own_peak_mb: float


def descendants(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from descendants(int(child))


def own_memory_mb(pid: int) -> float:
    """Return the anonymous memory of a process and its descendants; 0 where /proc does not tell."""
    total = 0.0
    for each in descendants(pid):
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return total


def seefit(*arguments: str, cache: Path) -> Finished:
    """Run one seefit command with its own cache folder and watch its memory."""
    command = [str(Path(sys.executable).with_name("seefit")), *arguments]
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=out, env={**os.environ, "SEEFIT_CACHE": str(cache)})
        own, ended = [0.0], threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                own[0] = max(own[0], own_memory_mb(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        ended.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read().decode()
    if process.returncode:
        raise SystemExit(f"`seefit {' '.join(arguments)}` ended with exit code {process.returncode}: {printed}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB elsewhere
    return Finished(json.loads(printed), seconds, usage.ru_maxrss * unit / MIB, own[0])


def measure(folder: Path, images: int) -> dict[str, Any]:
    """Generate, decode, check and train one folder."""
    generated = generate(folder, images)
    decoding = decode_all(folder)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        check = seefit("check", str(folder), "--quiet", "--json", cache=work / "check-cache")
        train = seefit("train", str(folder), "--out", str(work / "run"), "--quiet", "--json", cache=work / "train-cache")
    if check.answer["images"] != images or check.answer["skipped"]:
        raise SystemExit(f"seefit check saw {check.answer['images']} images and skipped {len(check.answer['skipped'])} of {images}")
    size = sum(path.stat().st_size for path in folder.glob("*/*.jpg"))
    return {
        "images": images,
        "mean_kb": round(size / images / 1000, 1),
        "generate_seconds": round(generated, 1),
        "decode_seconds": round(decoding, 2),
        "check_seconds": round(check.seconds, 2),
        "check_over_decode": round(check.seconds / decoding, 2),
        "check_peak_mb": round(check.peak_mb),
        "train_seconds": round(train.seconds, 1),
        "train_peak_mb": round(train.peak_mb),
        "train_own_peak_mb": round(train.own_peak_mb),
        "train_steps": train.answer["metrics"].get("seconds"),
        "test_accuracy": train.answer["metrics"]["test"]["accuracy"],
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    print(f"{'images':>8} {'decode':>9} {'check':>9} {'ratio':>6} {'train':>9} {'peak':>9} {'of its own':>11}", file=sys.stderr)
    for row in rows:
        print(
            f"{row['images']:>8,} {row['decode_seconds']:>7.1f} s {row['check_seconds']:>7.1f} s {row['check_over_decode']:>6.2f}"
            f" {row['train_seconds']:>7.1f} s {row['train_peak_mb']:>6,} MB {row['train_own_peak_mb']:>8,} MB",
            file=sys.stderr,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[5_000, 50_000], metavar="N", help="how many; each N is its own folder")
    parser.add_argument("--folder", type=Path, help="where the generated images go and stay (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = options.folder or Path(temporary)
        rows = [measure(base / str(images), images) for images in sorted(options.images)]
    show(rows)
    few, many = rows[0], rows[-1]
    further = many["images"] - few["images"]
    growth = (many["train_own_peak_mb"] - few["train_own_peak_mb"]) * MIB / further if further else None
    print(json.dumps({"cores": threads(), "sizes": rows, "growth_bytes_per_image": None if growth is None else round(growth)}))


if __name__ == "__main__":
    main()
