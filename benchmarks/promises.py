"""How near the time that `seefit train` promises comes to the time it takes, with nothing kept.

    python benchmarks/promises.py [--presets fast balanced] [--folder DIR]

Trains on `demo:elpv-mono` and on a folder: 400 colour pictures in class folders, made of ELPV's other cells, unless `--folder` names
another. Every run is a process of its own with an empty cache folder, so it converts the backbone too. What was promised and what it took
is what the run itself wrote down (metrics.json); `process` is timed from outside. Prints a table and one JSON line; ends with 1
when a promise is off by more than 1.5 times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from seefit.data.demo import elpv_table, read_demo

SEEFIT = [sys.executable, "-c", "from seefit.cli.main import run; run()"]
LIMIT = 1.5
SIDE = 480  # pixels of the folder's pictures


def make_folder(root: Path, images: int = 400) -> Path:
    """Write polycrystalline cells as large colour JPEG files into class folders."""
    demo, types = read_demo("demo:elpv"), [cell.type for cell in elpv_table()]
    poly = [sample for sample, kind in zip(demo.samples, types, strict=True) if kind == "poly"]
    for number, sample in enumerate(poly[:: max(1, len(poly) // images)][:images]):
        target = root / str(sample.label) / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(sample.path).convert("RGB").resize((SIDE, SIDE * 3 // 4)).save(target, quality=90)
    return root


def one_run(data: str, preset: str, place: Path) -> dict[str, Any]:
    """Train once with an empty cache folder; return what was promised and what it took, in seconds."""
    command = [*SEEFIT, "train", data, "--preset", preset, "--out", str(place / "run"), "--json", "--quiet"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "SEEFIT_CACHE": str(place / "cache")})
    process = time.perf_counter() - start
    metrics = json.loads(done.stdout)["metrics"]
    promise = metrics["promise"]
    ratio = promise["seconds"] / promise["took"]
    row = {"data": Path(data).name, "preset": preset, **promise, "ratio": round(ratio, 2), "process": round(process, 1)}
    return row | {"phases": metrics["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["fast", "balanced"])
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        folder = args.folder or make_folder(Path(home, "pictures"))
        for preset in args.presets:
            for data in ("demo:elpv-mono", str(folder)):
                row = one_run(data, preset, Path(home, f"{preset}-{len(found)}"))
                told = f"promised {row['seconds']:7.1f} s, took {row['took']:7.1f} s: {row['ratio']:.2f}"
                print(f"{preset:<10} {row['data']:<16} {told} (the estimate itself: {row['cost']:.1f} s)", file=sys.stderr)
                found.append(row)
    print(json.dumps(found))
    sys.exit(any(not 1 / LIMIT <= row["ratio"] <= LIMIT for row in found))


if __name__ == "__main__":
    main()
