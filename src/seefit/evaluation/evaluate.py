"""The only reader of the test part: it opens the labels once, when the bundle's hash is fixed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle
from seefit.bundle.predict import Prediction, cells, columns, predict
from seefit.bundle.runtime import in_batches
from seefit.console import QUIET, Console
from seefit.data.dataset import Dataset, Sample, Skip
from seefit.data.image import MAX_PIXELS
from seefit.data.listing import first_five
from seefit.data.splitfile import SplitRow, read_split
from seefit.data.tables import write_table
from seefit.errors import DataError, RunError
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.metrics import Metrics, judge
from seefit.files import atomic_path

if TYPE_CHECKING:
    from seefit.training.cache import Recipe


def evaluate_part(
    run: Path,
    bundle: Bundle,
    root: Path,
    part: str,
    *,
    majority: int | None,
    leaking: Collection[str] = (),
    gone: Collection[str] = (),
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
        gone: The sha256 of images whose file is gone: their kept features stand for them.
        max_pixels: As in `seefit.data.image.decode`.
        seed: Of the bootstrap.
        console: Where to show progress.

    Returns:
        The figures of the part; and those without its leaking images, None where it has none or nothing else.

    Raises:
        RunError: An image of the part changed or cannot be decoded any more, or of one that is gone no features are kept.
    """
    rows = [row for row in read_split(run / "split.csv") if row.split == part]
    probabilities = _probabilities(bundle, rows, root, frozenset(gone), max_pixels, console)
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


def read_probabilities(run: Path, table: Sequence[Mapping[str, str]], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the (N, C) probabilities that `evaluate_part` wrote down.

    Args:
        run: The run folder.
        table: The rows of its ``predictions.csv``.
        classes: Names, in the order of the outputs.
    """
    everything = run / "predictions.npz"  # where the table has the likeliest classes only
    if everything.is_file():
        with np.load(everything) as kept:
            return np.asarray(kept["probabilities"], np.float64)
    return np.array([[float(row[f"p:{name}"]) for name in classes] for row in table])


def _probabilities(
    bundle: Bundle, rows: Sequence[SplitRow], root: Path, gone: Collection[str], max_pixels: int, console: Console
) -> NDArray[np.float32]:
    """Return (N, C) probabilities, and keep the features of the images: they stand for those whose file will be gone one day."""
    from seefit.training.cache import CHUNK, keep_features
    from seefit.training.engine import read_image
    from seefit.training.features import reference_recipe

    recipe, contents = reference_recipe(bundle), {row.path: row.sha256 for row in rows}

    def read(sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample, contents[sample.name], max_pixels)

    probabilities = np.empty((len(rows), len(bundle.classes)), np.float32)
    away = [i for i, row in enumerate(rows) if row.sha256 in gone]
    if away:
        probabilities[away] = _from_kept(bundle, [rows[i] for i in away], recipe)
    there = [i for i, row in enumerate(rows) if row.sha256 not in gone]
    samples = [Sample(root / rows[i].path, rows[i].path, None) for i in there]
    with console.bar("Evaluating", len(there)) as advance:
        answers = zip(there, predict(bundle, samples, features=True, read=read), strict=True)
        for chunk in in_batches(answers, CHUNK):
            for i, prediction in chunk:
                probabilities[i] = _answer(prediction)
            keep_features([rows[i].sha256 for i, _ in chunk], [p.features for _, p in chunk if p.features is not None], recipe)
            advance(len(chunk))
    return probabilities


def _answer(prediction: Prediction) -> NDArray[np.float32]:
    if prediction.error is not None:
        raise RunError(
            "An image of the run cannot be read any more",
            where=prediction.sample.path,
            expected="the image that was trained or split with",
            got=prediction.error.reason,
            hint="Put the image back, or train again",
        )
    return prediction.probabilities


def _from_kept(bundle: Bundle, rows: Sequence[SplitRow], recipe: Recipe) -> NDArray[np.float64]:
    """Return the (N, C) probabilities that the head gives to kept features: what the graph would answer to the images."""
    from seefit.training.cache import kept_features

    kept = kept_features([row.sha256 for row in rows], recipe)
    lost = [row.path for row, features in zip(rows, kept, strict=True) if features is None]
    if lost:
        raise RunError(
            "Images of the run are gone",
            where=first_five(lost),
            expected="their files, or kept features of them",
            got="neither",
            hint="Put the images back, or train again",
        )
    (weight, bias), features = bundle.head(), np.stack([row for row in kept if row is not None])
    return softmax(features @ weight.T + bias, bundle.manifest["temperature"])


def _write(run: Path, classes: Sequence[str], rows: Sequence[SplitRow], probabilities: NDArray[np.float32]) -> None:
    best = probabilities.argmax(1)
    lines = ([row.path, row.label, classes[i], *cells(classes, p)] for row, i, p in zip(rows, best, probabilities, strict=True))
    write_table(run / "predictions.csv", ["path", "label", "predicted", *columns(classes)], lines)
    if len(columns(classes)) != len(classes):
        with atomic_path(run / "predictions.npz") as temporary, open(temporary, "wb") as handle:
            np.savez_compressed(handle, probabilities=probabilities, classes=np.array(classes))
