"""How much memory does fine-tuning on kept activations take?

    python benchmarks/finetune_memory.py                                        # the solar cells in 8 views: 0.9 GB of activations, 6 min
    python benchmarks/finetune_memory.py --data demo:elpv-mono --views 1        # quick: 1 min

One `seefit train --preset balanced` in a process of its own, with an empty cache but for the backbone, watched while it works. Two
figures count. `own` is what the process and its children hold themselves (RssAnon + RssShmem of /proc/PID/status, watched ten times a
second): it cannot be had back without a swap. `resident` is the largest resident size that the kernel saw; it also counts pages of
mapped files, above all those of the kept activations that were read lately, which the kernel takes back whenever something else needs
the place. A limit on memory that is not to slow a run down must be above `own`; `resident` grows with the free memory of the machine.
The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from big_folder import MIB, seefit
from seefit.environment import threads
from seefit.models.backbone import load_backbone


def disk_mb(folder: Path) -> int:
    """Return what the files of a folder take on the disk, without the holes in them."""
    return round(sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / MIB)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo:elpv")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2, help="memory does not grow with them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary) / "cache"
        os.environ["SEEFIT_CACHE"] = str(cache)
        load_backbone("lite0")  # its conversion, done once on a computer, is not part of the figure
        asked = ("--views", str(options.views), "--epochs", str(options.epochs), "--augment", "any-way-up")
        run = seefit("train", options.data, "--preset", "balanced", *asked, "--out", f"{temporary}/run", "--quiet", "--json", cache=cache)
        kept = disk_mb(cache / "features")
    images = sum(sum(part.values()) for part in run.answer["metrics"]["counts"].values())
    found = {"data": options.data, "images": images, "views": options.views, "cores": threads(), "seconds": round(run.seconds, 1)}
    print(json.dumps(found | {"kept_mb": kept, "own_peak_mb": round(run.own_peak_mb), "resident_peak_mb": round(run.peak_mb)}))


if __name__ == "__main__":
    main()
