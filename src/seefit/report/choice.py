"""Why a run has the network that it has, where the images chose it: one sentence and a table, for the console and the report."""

from __future__ import annotations

from typing import Any

from seefit.drawing import shown
from seefit.report.page import Table
from seefit.report.words import Words


def choice_sentence(choice: dict[str, Any], words: Words) -> str:
    """Return which network was chosen, among which, on what grounds.

    Args:
        choice: The content of ``choice.json``, as `seefit.choosing.choose_backbone` returns it.
        words: The language.
    """
    name, left_out = shown(choice["backbone"], 80), choice["left_out"]
    judged = [candidate for candidate in choice["candidates"] if candidate["images"]]
    if not judged:
        why = choice["why"]
        told = [words(f"choice.{why}", backbone=name)]
    else:
        names = words("format.comma").join(shown(candidate["backbone"], 80) for candidate in judged)
        folds, images = choice["folds"], f"{choice['images']:,}"
        told = [words("choice.chosen", backbone=name, names=names, folds=folds, images=images, minutes=f"{choice['minutes']:g}")]
        told += [words("choice.figures", figures=words("format.comma").join(_figure(candidate, choice, words) for candidate in judged))]
        told += [_reason(choice, judged, words)]
    if left_out:
        told.append(words("choice.left_out", names=words("format.comma").join(shown(other, 80) for other in left_out)))
    return words.sentences(*told)


def choice_table(choice: dict[str, Any], words: Words) -> Table | None:
    """Return how the networks that were compared stand, the best first; None where nothing was compared.

    Args:
        choice: As for `choice_sentence`.
        words: The language.
    """
    judged = [candidate for candidate in choice["candidates"] if candidate["images"]]
    if not judged:
        return None
    header = [words(f"choice.{key}") for key in ("network", "balanced", "behind", "error", "images", "rate")]
    rows = [
        [
            shown(candidate["backbone"], 80),
            words.percent(candidate["balanced_accuracy"]),
            f"{100 * candidate['behind']:.1f}",
            f"{100 * candidate['error']:.1f}",
            f"{candidate['images']:,}",
            "–" if candidate.get("images_per_second") is None else f"{candidate['images_per_second']:,.0f}",
        ]
        for candidate in sorted(judged, key=lambda one: (-one["images"], one["behind"]))
    ]
    return Table(header, rows)


def _figure(candidate: dict[str, Any], choice: dict[str, Any], words: Words) -> str:
    figure = {"backbone": shown(candidate["backbone"], 80), "value": words.percent(candidate["balanced_accuracy"])}
    return words(
        "choice.figure" if candidate["images"] == choice["images"] else "choice.figure_of", **figure, images=f"{candidate['images']:,}"
    )


def _reason(choice: dict[str, Any], judged: list[dict[str, Any]], words: Words) -> str:
    if choice["why"] == "best":
        return words("choice.best")
    chosen = next(candidate for candidate in judged if candidate["backbone"] == choice["backbone"])
    best = next(other for other in judged if other["images"] == choice["images"] and other["behind"] == 0)
    points = {"behind": f"{100 * chosen['behind']:.1f}", "error": f"{100 * chosen['error']:.1f}"}
    return words("choice.cheapest", best=shown(best["backbone"], 80), **points)
