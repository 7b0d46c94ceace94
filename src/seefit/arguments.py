"""Images, labels and weights as they are given to `ImageClassifier`: checked, all problems at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seefit.data.dataset import Sample, colliding_classes
from seefit.data.image import Undecodable, Unreadable
from seefit.errors import DataError, SeefitError, UsageError, raise_all

Call = Literal["fit", "evaluate"]
_FAILED: dict[Call, str] = {"fit": "Cannot learn from these images", "evaluate": "Cannot judge these images"}


def read_paths(X: Any) -> list[Sample]:
    """Return an unlabelled sample per path.

    Raises:
        UsageError: Not a list of paths.
    """
    paths = [] if isinstance(X, (str, bytes, os.PathLike)) else list(X)
    odd = [path for path in paths if not isinstance(path, (str, os.PathLike))]
    if odd or isinstance(X, (str, bytes, os.PathLike)):
        got = repr(X) if not odd else f"{len(odd):,} other things, first of type {type(odd[0]).__name__}"
        raise UsageError("Bad image paths", where="X", expected="a list of paths of image files", got=got, hint="Give a list of paths")
    return [Sample(Path(path), os.fspath(path), None) for path in paths]


def labelled(samples: list[Sample], labels: list[str], sample_weight: Any, groups: Any, *, call: Call = "fit") -> list[Sample]:
    """Return the samples with their labels, weights and groups.

    Args:
        samples: N images.
        labels: One each.
        sample_weight: (N,) at least 0; None for ones.
        groups: (N,) names; None for none.
        call: What they were given to.

    Raises:
        DataError: Lengths that differ, weights that are negative or not finite.
    """
    weights = np.ones(len(samples)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    groups = [None] * len(samples) if groups is None else list(groups)
    lengths = {"labels": len(labels), "sample_weight": len(weights), "groups": len(groups)}
    problems: list[SeefitError] = [
        _bad_argument(name, f"one per image, {len(samples):,} in all", f"{length:,}", call)
        for name, length in lengths.items()
        if length != len(samples)
    ]
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        problems.append(_bad_argument("sample_weight", "finite numbers of at least 0", f"{weights[bad[0]]} at position {bad[0]}", call))
    raise_all(problems)
    named = (None if group is None else str(group) for group in groups)
    return [
        replace(sample, label=label, weight=float(weight), group=group)
        for sample, label, weight, group in zip(samples, labels, weights, named, strict=True)
    ]


def check_classes(names: Sequence[str]) -> None:
    """Refuse classes that cannot be learnt.

    Raises:
        DataError: Fewer than two, or names that look alike.
    """
    pairs = colliding_classes(names)
    problems = [_bad_argument("labels", "class names that differ by more than case", f"{a!r} and {b!r}", "fit") for a, b in pairs]
    if len(names) < 2:
        problems.append(_bad_argument("labels", "at least two classes", ", ".join(map(repr, names)) or "none", "fit"))
    raise_all(problems)


def refuse_arguments(arguments: dict[str, Any], expected: str, got: str) -> None:
    """Raise for arguments that were given and mean nothing beside the others."""
    hint = "Call fit(DATA) with options of `seefit train`, or fit(paths, labels) with sample_weight and groups"
    given = sorted(name for name, value in arguments.items() if value is not None)
    raise_all([UsageError("Argument without effect", where=name, expected=expected, got=got, hint=hint) for name in given])


def unusable(name: str, reason: str, unreadable: bool) -> DataError:
    """Return the error of an image that the system refused, or that cannot be decoded."""
    return Unreadable(Path(name), OSError(reason)) if unreadable else Undecodable(reason, where=name)


def untrusted(what: str, call: str) -> UsageError:
    """Return the error of a classifier that has no sets of classes, or cannot tell what it does not know.

    Args:
        what: It has none.
        call: That asked for it.
    """
    hint = "Fit on more images; a network that is trained needs a validation part, as fit(DATA) has one"
    expected = "a classifier that kept images back"
    return UsageError(f"No {what}", where=f"ImageClassifier.{call}", expected=expected, got="too few of them", hint=hint)


def known_labels(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the number of each label's class.

    Raises:
        DataError: Labels that are no classes of the model; the first ten are named.
    """
    place = {name: i for i, name in enumerate(classes)}
    unknown = sorted({label for label in labels if label not in place})
    if unknown:
        expected = f"the model's classes ({', '.join(classes[:10])}{' …' if len(classes) > 10 else ''})"
        raise _bad_argument("y", expected, ", ".join(map(repr, unknown[:10])), "evaluate")
    return [place[label] for label in labels]


def _bad_argument(name: str, expected: str, got: str, call: Call) -> DataError:
    return DataError(_FAILED[call], where=name, expected=expected, got=got, hint=f"Check the {name} given to {call}")
