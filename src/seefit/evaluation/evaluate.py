"""The only reader of the test part: it opens the labels once, when the bundle's hash is fixed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle
from seefit.bundle.predict import cells, columns, predict
from seefit.console import QUIET, Console
from seefit.data.dataset import Dataset, Sample, Skip
from seefit.data.image import MAX_PIXELS
from seefit.data.split import SplitRow, read_split
from seefit.data.tables import write_table
from seefit.errors import DataError, RunError
from seefit.evaluation.metrics import Metrics, judge
from seefit.files import atomic_path


def evaluate_part(
    run: Path,
    bundle: Bundle,
    root: Path,
    part: str,
    *,
    majority: int | None,
    leaking: Collection[str] = (),
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    console: Console = QUIET,
) -> tuple[Metrics, Metrics | None]:
    """Judge a bundle on one part of its run's ``split.csv`` and write ``predictions.csv``.

    Args:
        run: The run folder.
        bundle: Loaded and checked: its hash is fixed.
        root: The folder that the paths of ``split.csv`` are relative to.
        part: ``test``, or ``val`` when there is no test part.
        majority: Index of the commonest class of the training part.
        leaking: Names of images that stand, equal or nearly so, in another part too.
        max_pixels: As in `seefit.data.image.decode`.
        seed: Of the bootstrap.
        console: Where to show progress.

    Returns:
        The figures of the part; and those without its leaking images, None where it has none or nothing else.

    Raises:
        RunError: An image of the part is gone or cannot be decoded any more.
    """
    rows = [row for row in read_split(run / "split.csv") if row.split == part]
    probabilities = _probabilities(bundle, [Sample(root / row.path, row.path, None) for row in rows], max_pixels, console)
    position = {name: i for i, name in enumerate(bundle.classes)}
    labels = np.array([position[row.label] for row in rows])
    weights, groups = np.array([row.weight for row in rows]), group_numbers([row.group for row in rows])
    _write(run, bundle.classes, rows, probabilities)

    def figures(index: NDArray[np.intp]) -> Metrics:
        chosen = None if groups is None else groups[index]
        return judge(
            probabilities[index], labels[index], bundle.classes, weights=weights[index], groups=chosen, majority=majority, seed=seed
        )

    clean = np.array([i for i, row in enumerate(rows) if row.path not in leaking], np.intp)
    return figures(np.arange(len(rows))), figures(clean) if 0 < len(clean) < len(rows) else None


def evaluate_data(
    bundle: Bundle, dataset: Dataset, *, max_pixels: int = MAX_PIXELS, seed: int = 0, console: Console = QUIET
) -> tuple[Metrics, list[Skip]]:
    """Judge a bundle on other labelled images.

    Args:
        bundle: What to judge.
        dataset: Labelled images; classes that the bundle does not know are an error.
        max_pixels: As in `seefit.data.image.decode`.
        seed: Of the bootstrap.
        console: Where to show progress.

    Returns:
        The figures, and the images that are left out: missing, or not to be decoded.

    Raises:
        DataError: A class that the bundle does not know, or no image that can be decoded.
    """
    position = {name: i for i, name in enumerate(bundle.classes)}
    unknown = [name for name in dataset.classes if name not in position]
    if unknown:
        raise DataError(
            "Unknown classes",
            where=dataset.source,
            expected=f"the model's classes ({', '.join(bundle.classes[:10])}{' …' if len(bundle.classes) > 10 else ''})",
            got=", ".join(map(repr, unknown[:10])),
            hint="Rename the classes, or train a model with them",
        )
    good, probabilities, skips = [], [], list(dataset.skips)
    with console.bar("Evaluating", len(dataset)) as advance:
        for prediction in predict(bundle, dataset.samples, max_pixels=max_pixels):
            advance(1)
            if prediction.error is None:
                good.append(prediction.sample)
                probabilities.append(prediction.probabilities)
            else:
                size = prediction.sample.path.stat().st_size if prediction.sample.path.exists() else 0
                skips.append(Skip(prediction.sample.name, prediction.error.reason, size))
    if not good:
        raise DataError(
            "Nothing to evaluate", where=dataset.source, expected="images that can be decoded", got="none", hint="Run `seefit check` on it"
        )
    metrics = judge(
        np.stack(probabilities),
        np.array([position[sample.label or ""] for sample in good]),
        bundle.classes,
        weights=np.array([sample.weight for sample in good]),
        groups=group_numbers([sample.group for sample in good]),
        seed=seed,
    )
    return metrics, skips


def group_numbers(groups: Sequence[str | None]) -> NDArray[np.int64] | None:
    """Number the groups; images without one stand alone. None when there is no group at all."""
    if not any(group is not None for group in groups):
        return None
    numbers: dict[object, int] = {}
    keys = [("group", group) if group is not None else ("alone", i) for i, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _probabilities(bundle: Bundle, samples: Sequence[Sample], max_pixels: int, console: Console) -> NDArray[np.float32]:
    probabilities = np.empty((len(samples), len(bundle.classes)), np.float32)
    with console.bar("Evaluating", len(samples)) as advance:
        for i, prediction in enumerate(predict(bundle, samples, max_pixels=max_pixels)):
            if prediction.error is not None:
                raise RunError(
                    "An image of the run cannot be read any more",
                    where=prediction.sample.path,
                    expected="the image that was trained or split with",
                    got=prediction.error.reason,
                    hint="Put the image back, or train again",
                )
            probabilities[i] = prediction.probabilities
            advance(1)
    return probabilities


def _write(run: Path, classes: Sequence[str], rows: Sequence[SplitRow], probabilities: NDArray[np.float32]) -> None:
    best = probabilities.argmax(1)
    lines = ([row.path, row.label, classes[i], *cells(classes, p)] for row, i, p in zip(rows, best, probabilities, strict=True))
    write_table(run / "predictions.csv", ["path", "label", "predicted", *columns(classes)], lines)
    if len(columns(classes)) != len(classes):
        with atomic_path(run / "predictions.npz") as temporary, open(temporary, "wb") as handle:
            np.savez_compressed(handle, probabilities=probabilities, classes=np.array(classes))
