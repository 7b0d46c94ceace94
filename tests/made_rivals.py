"""Finished runs on the same test images, made by hand around a tiny bundle: for the tests of what compares runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from made_run import make_run, write_rows

PROBE = ["strength", "fold_nll", "nll_gap", "accuracy_gap"]
EPOCHS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy"]


def make_rival(run: Path, cells: dict[str, list[Path]], bundle: Path, *, wrong: float, seed: int = 0, **changes: Any) -> Path:
    """Make a run whose test part is 90 photographs of solar cells, with a bundle that loads.

    Args:
        run: The folder to make.
        cells: From the fixture ``elpv_cells``.
        bundle: From the fixture ``tiny_bundle``.
        wrong: Share of wrong predictions.
        seed: Of the predictions.
        changes: As in `made_run.make_run`.
    """
    photos = {"defective": cells["defective"][:30], "functional": cells["functional"][:60]}
    make_run(run, photos, root=cells["functional"][0].parents[1], wrong=wrong, seed=seed, **changes)
    shutil.rmtree(run / "bundle")
    shutil.copytree(bundle, run / "bundle")
    write_rows(run / "history.csv", PROBE, [[10.0, 0.5, 0.3, 0.2], [1.0, 0.4, 0.125, 0.05], [0.1, 0.6, 0.4, 0.3]])
    return run


def give_groups(run: Path, count: int) -> Path:
    """Put the test images of a run into groups by their names."""
    lines = (run / "split.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    write_rows(run / "split.csv", lines[0].split(","), [[*row[:3], f"g{sum(map(ord, row[0])) % count}", *row[4:]] for row in rows])
    return run
