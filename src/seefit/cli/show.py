"""How figures look on the console."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from seefit.console import one_line

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

PIPE_COLUMNS = 120  # wide enough for most tables when stdout is no terminal
SHOWN_CLASSES = 20
_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "weighted_accuracy": "weighted accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "ece": "calibration error",
    "majority_baseline": "always the commonest class",
    "gain": "lead over that",
}
_SHARES = {"balanced_accuracy", "accuracy", "weighted_accuracy", "majority_baseline", "ece"}
_SIGNED = {"gain"}


def stdout_console(*, columns: int = PIPE_COLUMNS, markup: bool = True) -> RichConsole:
    """Return what prints tables to stdout.

    Args:
        columns: How wide it is when stdout is no terminal.
        markup: Whether words in square brackets are commands to it.
    """
    from rich.console import Console as RichConsole

    return RichConsole(file=sys.stdout, width=None if sys.stdout.isatty() else columns, highlight=False, markup=markup)


def show_figures(metrics: dict[str, Any]) -> None:
    """Print the headline part of ``metrics.json``: figures with 95 % intervals and the per-class table."""
    part = metrics["headline"]
    figures = metrics.get(part) or {}
    title = {"test": "Test part", "val": "Validation part (there is no test part)"}.get(
        part, "Out-of-fold scores of the training part (there is no test part)"
    )
    groups = (metrics.get("groups") or {}).get(part)
    print(f"\n{title}: {figures.get('n', 0):,} images" + (f" in {groups:,} groups" if groups else "") + " " * 6 + "[95 % interval]")
    for key, name in _NAMES.items():
        if figures.get(key):
            print(f"  {name:<28} {figure_text(figures[key], '+.1%' if key in _SIGNED else '.1%' if key in _SHARES else '.3f')}")
    if metrics.get("calibrated") is False and figures.get("ece"):
        print("  the probabilities are not calibrated: no images were kept back for that (--val)")
    _show_classes(metrics.get("per_class") or {})
    _show_extension(metrics.get("extension") or {})


def _show_extension(extension: dict[str, Any]) -> None:
    """Print what an extended run gained or lost on the images of the run it came from."""
    earlier = extension.get("earlier_images")
    if not earlier:
        return
    print(f"\nThe {earlier['n']:,} of them that {one_line(extension['extended_from'])} was judged on" + " " * 6 + "[95 % interval]")
    for side in ("before", "after"):
        figures = ", ".join(f"{_NAMES[name]} {figure_text(figure, '.1%').strip()}" for name, figure in earlier[side].items())
        print(f"  {side:<10} {figures}")
    print(f"  {'difference':<10} accuracy {figure_text(earlier['difference']['accuracy'], '+.1%').strip()}, image by image")


def figure_text(figure: dict[str, float | None], form: str) -> str:
    """Return a figure with its interval as text.

    Args:
        figure: ``{"value", "low", "high"}``.
        form: How a number is written.
    """

    def one(value: float | None) -> str:
        return "–" if value is None else format(value, form)

    return f"{one(figure['value']):>7}  [{one(figure['low'])}, {one(figure['high'])}]"


def _show_classes(per_class: dict[str, Any]) -> None:
    if not per_class:
        return
    weakest = sorted(per_class, key=lambda name: (per_class[name].get("recall") or {}).get("value") or 0)
    shown = list(per_class) if len(per_class) <= SHOWN_CLASSES else weakest[:SHOWN_CLASSES]
    width = max(12, *(min(len(one_line(name)), 32) for name in shown))
    print(f"\n  {'class':<{width}} {'images':>7}  {'recall':<24} precision")
    for name in shown:
        row = per_class[name]
        recall, precision = (figure_text(row[key], ".1%") if row.get(key) else "–" for key in ("recall", "precision"))
        print(f"  {one_line(name)[:32]:<{width}} {row['n']:>7,} {recall:<25} {precision}")
    if len(per_class) > len(shown):
        print(f"  the {len(shown)} classes with the lowest recall of {len(per_class):,}; all are in the report")
