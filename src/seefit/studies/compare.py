"""Comparing finished runs on the test images that all of them were judged on: a leaderboard, and which differences are more than chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import load
from seefit.console import QUIET, Console
from seefit.evaluation.benefit import MOST_CLASSES, THRESHOLDS, decision_curves
from seefit.evaluation.decide import positive_class
from seefit.evaluation.front import pareto_front
from seefit.evaluation.metrics import judge, resample_figures
from seefit.evaluation.paired import FIGURES, figure_differences, holm, mcnemar, paired_interval, verdict
from seefit.studies.entrants import Entrant, describe, read_entrants, size_of, time_bundles

RANKED_BY = "balanced_accuracy"


def compare_runs(runs: Sequence[Path], *, seed: int = 0, console: Console = QUIET) -> dict[str, Any]:
    """Compare finished runs that were judged on the same test images; nothing is predicted again.

    Args:
        runs: Their folders, two at least.
        seed: Of the bootstrap.
        console: Where to say what happens.

    Returns:
        What ``seefit compare --json`` prints:

        - ``images``, ``groups`` (0 without), ``classes``.
        - ``runs``, by balanced accuracy: ``run``, ``backbone``, ``method``, ``settings`` (those in which the runs differ), ``figures``
          with 95 % intervals, ``stability``, ``seconds`` of training, ``bytes`` of the bundle, ``images_per_second`` on this computer, and
          ``front``: whether no other is both quicker (in answering, in training) and better.
        - ``pairs``: for every two of them ``first`` (that of the higher rank) and ``second``, the ``difference`` of each figure (first
          minus second) with its paired interval, McNemar's ``p`` (by group where the images have groups), ``p_holm``, and ``verdict`` on
          accuracy: ``helps`` where the first is shown to be better.
        - ``curves``: decision curves of the class looked for, of more than two classes the mean over them, with None as ``class``;
          None of more than `MOST_CLASSES`.

    Raises:
        UsageError: Fewer than two runs, or other test images, labels or classes.
        RunError: A folder is no finished run with a test part and its predictions.
        ArtefactError: A bundle is damaged.
    """
    entrants = read_entrants(runs)
    bundles = {entrant.run: load(entrant.run) for entrant in entrants}
    console.say(f"Timing {len(bundles)} models on this computer …")
    speeds = time_bundles(bundles)
    classes, groups = entrants[0].record.classes, next((one.groups for one in entrants if one.groups is not None), None)
    labels = np.array([classes.index(row.label) for row in entrants[0].rows])
    names = differing([entrant.record.asked for entrant in entrants])
    rows = [
        {
            "run": str(entrant.run),
            **describe(entrant),
            "settings": {name: entrant.record.asked.get(name) for name in names},
            "figures": _figures(entrant.probabilities, labels, classes, groups, seed),
            "bytes": size_of(bundles[entrant.run]),
            "images_per_second": round(speeds[entrant.run], 1),
        }
        for entrant in entrants
    ]
    order = sorted(range(len(rows)), key=lambda i: -rows[i]["figures"][RANKED_BY]["value"])
    ranked, rows = [entrants[i] for i in order], [rows[i] for i in order]
    costs = {"images_per_second": [1 / row["images_per_second"] for row in rows], "seconds": [row["seconds"] for row in rows]}
    fronts = {kind: pareto_front(cost, [row["figures"][RANKED_BY]["value"] for row in rows]) for kind, cost in costs.items()}
    return {
        "images": len(labels),
        "groups": 0 if groups is None else len(np.unique(groups)),
        "classes": classes,
        "runs": [{**row, "front": {kind: on[i] for kind, on in fronts.items()}} for i, row in enumerate(rows)],
        "pairs": compare_pairs([str(one.run) for one in ranked], [one.probabilities for one in ranked], labels, groups, seed=seed),
        "curves": _curves(ranked, labels, groups, seed) if len(classes) <= MOST_CLASSES else None,
    }


def compare_pairs(
    names: Sequence[str],
    tables: Sequence[NDArray[np.float64]],
    labels: NDArray[np.intp],
    groups: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare every two models on the same images, as `compare_runs` gives it under ``pairs``.

    Args:
        names: Of the models.
        tables: (N, C) probabilities of each.
        labels: (N,) class numbers.
        groups: (N,) groups that are resampled whole; None for independent images.
        seed: Of the bootstrap.
    """
    right = [table.argmax(1) == labels for table in tables]
    drawn = [resample_figures(table, labels, groups=groups, seed=seed) for table in tables]
    pairs = list(itertools.combinations(range(len(names)), 2))
    raw = [mcnemar(right[second], right[first], groups) for first, second in pairs]
    found = []
    for (first, second), p, adjusted in zip(pairs, raw, holm(raw), strict=True):
        gains = figure_differences(drawn[second], drawn[first]) | {
            "accuracy": paired_interval(right[second], right[first], groups, seed=seed)
        }
        found.append(
            {
                "first": names[first],
                "second": names[second],
                "difference": {name: gains[name].to_json() for name in FIGURES},
                "p": p,
                "p_holm": adjusted,
                "verdict": verdict(gains["accuracy"], adjusted),
            }
        )
    return found


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of settings that are not the same for all, in the order of the first."""
    names = dict.fromkeys(name for one in settings for name in one)
    return [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]


def _figures(
    table: NDArray[np.float64], labels: NDArray[np.intp], classes: Sequence[str], groups: NDArray[np.int64] | None, seed: int
) -> dict[str, dict[str, float | None]]:
    figures = judge(table, labels, classes, groups=groups, seed=seed).figures
    return {name: figures[name].to_json() for name in FIGURES}


def _curves(ranked: Sequence[Entrant], labels: NDArray[np.intp], groups: NDArray[np.int64] | None, seed: int) -> dict[str, Any] | None:
    """Return the decision curves; None where the test part holds one class only."""
    present = np.unique(labels).tolist()
    if len(present) < 2:
        return None
    record, looked_for = ranked[0].record, None
    if len(record.classes) == 2:
        counts = record.counts("train")
        number, _ = positive_class(record.classes, [counts.get(name, 0) for name in record.classes])
        looked_for, present = record.classes[number], [number]
    found = [decision_curves(one.probabilities, labels, present, groups=groups, seed=seed)[0] for one in ranked]
    return {
        "class": looked_for,
        "thresholds": THRESHOLDS.tolist(),
        "everything": np.round(found[0].everything, 5).tolist(),
        "runs": [
            {"run": str(one.run), "model": np.round(curve.model, 5).tolist(), "area": curve.area, "gain": curve.gain.to_json()}
            for one, curve in zip(ranked, found, strict=True)
        ],
    }
