"""How long a study takes, what it finds, and the table of Lite0, 1 and 2 with the columns of the comparison of ResNets by hand.

    python benchmarks/study.py            # backbones with features kept (the first run fills the cache), then augmentation by probe, twice
    python benchmarks/study.py --empty    # backbones from an empty cache, converting the networks too

On two idle cores it should take 120 s with features kept, 240 s from an empty cache, and 3 minutes for augmentation once the features
of views are kept; from nothing those of 15,500 views come first. Needs the extras demo, fast and offline. Only training and validation part
decide; the winner is scored on the test part of the default split, as the demo shows it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seefit.console import Console
from seefit.report.study import tell_arm, tell_winner
from seefit.report.words import Words
from seefit.studies.study import run_study

BACKBONES, AUGMENT = "backbone=lite0,lite1,lite2", "augment=none,any-way-up"
HEADER = "| network | gap in loss | gap in accuracy | s per fit | accuracy | best fold | AUC | parameters | MB | images/s |"


def main() -> None:
    """Run the studies and print seconds, sentences and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--empty", action="store_true", help="begin with an empty cache")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cache(Path(folder) / "cache" if arguments.empty else None):
        if not arguments.empty:
            study(BACKBONES, Path(folder) / "first")
        found = study(BACKBONES, Path(folder) / "backbones", say=True)
        print("\n".join(table(found)), file=sys.stderr)
        figures = {"empty" if arguments.empty else "kept": found["took"]}
        if not arguments.empty:
            figures["augment, first time"] = study(AUGMENT, Path(folder) / "first-views")["took"]
            figures["augment"] = study(AUGMENT, Path(folder) / "augment", say=True)["took"]
    print(json.dumps({name: round(seconds, 1) for name, seconds in figures.items()}))


@contextlib.contextmanager
def cache(folder: Path | None) -> Iterator[None]:
    """Hold another cache folder for a while; the usual one for None."""
    before = dict(os.environ)
    if folder is not None:
        os.environ["SEEFIT_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def study(vary: str, out: Path, *, say: bool = False) -> dict[str, Any]:
    """Run a study of 10 times 3 folds; say how long it took and what it found."""
    started = time.perf_counter()
    found = run_study({"data": "demo:elpv"}, vary, folds=3, repeats=10, out=out, console=Console()).found
    found["took"] = time.perf_counter() - started
    if say:
        words = Words("en")
        print(f"\n{vary}: {found['took']:.0f} s, {found['promised']:.0f} s promised", file=sys.stderr)
        for arm in found["arms"][1:]:
            print(f"  {arm['name']}: {tell_arm(arm, 30, words)}", file=sys.stderr)
        print(f"  {tell_winner(found, words)}", file=sys.stderr)
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Return the table of arms in Markdown."""
    rows = [HEADER, "|" + "---|" * HEADER.count(" | ") + "---|"]
    for arm in found["arms"]:
        accuracy, auc = (arm["figures"][name] for name in ("accuracy", "auc"))
        cells = [
            arm["name"],
            f"{arm['stability_loss']:.3f}",
            f"{100 * arm['stability_accuracy']:.1f}",
            f"{arm['seconds']:.2f}",
            f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['spread']:.1f}",
            f"{100 * accuracy['most']:.1f}",
            f"{auc['mean']:.3f} ± {auc['spread']:.3f}",
            f"{arm['parameters']:,}",
            f"{arm['size_mb']:.1f}",
            f"{arm['images_per_second']:.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


if __name__ == "__main__":
    main()
