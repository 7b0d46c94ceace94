"""The one sentence that says what is known of a difference, in the same words everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from seefit.drawing import shown
from seefit.evaluation.intervals import Estimate
from seefit.evaluation.paired import Paired, verdict
from seefit.report.words import Words

LONGEST = 60  # letters of a run's name
Unit = Literal["folds", "images"]


def tell_difference(found: Paired | Estimate, p_holm: float, count: int, unit: Unit, words: Words) -> str:
    """Return a sentence such as "+0.7 points [−0.3, +1.7], p = 0.15, 15 folds: not shown to help".

    Args:
        found: A difference of shares, above 0 where the second is better.
        p_holm: Its p-value, by `seefit.evaluation.paired.holm` when it is one of several.
        count: Folds or images behind it.
        unit: Of ``count``. Folds judge a way of training, which helps or hurts; images judge a model, which is better or worse.
        words: The language.
    """
    if found.value is None:
        return words("difference.undefined")
    low, high = ("?" if end is None else words.signed(end, 1) for end in (found.low, found.high))
    said = verdict(found, p_holm).replace(" ", "_")
    key = f"difference.folds.{said}" if unit == "folds" else f"difference.images.{said}"
    counted = words(f"difference.{unit}", count=f"{count:,}")
    return words(
        "difference.says", value=words.signed(found.value, 1), low=low, high=high, p=write_p(p_holm), counted=counted, said=words(key)
    )


def write_p(p: float) -> str:
    """Write a p-value for people; rounding never takes it across 0.05."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.{2 if p >= 0.1 else 3}f}"


def tell_pair(pair: Mapping[str, Any], images: int, words: Words, names: Mapping[str, str]) -> str:
    """Return the sentence of two models on the same images.

    Args:
        pair: One of ``pairs`` of `seefit.studies.compare.compare_runs`.
        images: How many there are.
        words: The language.
        names: Of the runs, from `short_names`.
    """
    says = tell_difference(Estimate(**pair["difference"]["accuracy"]), pair["p_holm"], images, "images", words)
    first, second = (shown(names[pair[side]], LONGEST) for side in ("first", "second"))
    return words("difference.pair", first=first, second=second, says=says)


def short_names(runs: Sequence[str]) -> dict[str, str]:
    """Return the name of each run folder; with the folder around it where two have the same name."""
    counts = Counter(Path(run).name for run in runs)
    return {run: Path(run).name if counts[Path(run).name] == 1 else "/".join(Path(run).parts[-2:]) for run in runs}
