"""``seefit evaluate``: the stored figures of a run, or fresh ones on other labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.bundle.bundle import load
from seefit.cli.show import show_figures
from seefit.console import Console, one_line
from seefit.data.image import MAX_PIXELS
from seefit.data.sources import read_dataset
from seefit.evaluation.evaluate import evaluate_data
from seefit.files import to_json
from seefit.runs import read_metrics


def evaluate(
    run: Path,
    data: str | None,
    options: dict[str, Any],
    *,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    json_output: bool = False,
    console: Console,
) -> int:
    """Show the figures of the run's own test part, which was read once, or judge the run on other images.

    Args:
        run: A run; with ``data`` a bundle will do.
        data: Other labelled images.
        options: How to read ``data``, as `seefit.data.sources.read_dataset` takes them.
        max_pixels: Images with more pixels are left out.
        seed: Of the bootstrap.
        json_output: Print one JSON object on stdout.
        console: Where progress is shown.
    """
    metrics: dict[str, Any]
    if data is None:
        metrics = read_metrics(run)
    else:
        bundle = load(run)
        dataset = read_dataset(data, **options, console=console)
        found, skips = evaluate_data(bundle, dataset, max_pixels=max_pixels, seed=seed, console=console)
        if skips:
            console.warn(f"{len(skips):,} images are left out; the first: {one_line(skips[0].name)} ({skips[0].reason})")
        figures = found.to_json()
        detail: dict[str, Any] = {key: figures.pop(key) for key in ("per_class", "confusion") if key in figures}
        metrics = {"headline": "test", "test": figures, **detail, "bundle": bundle.hash, "skipped": [skip.name for skip in skips]}
    if json_output:
        print(to_json(metrics))
    else:
        show_figures(metrics)
    return 0
