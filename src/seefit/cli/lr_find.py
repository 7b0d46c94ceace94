"""``seefit lr-find``: a short sweep of rising learning rates, its curve, and the rate that it suggests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.console import Console
from seefit.drawing import blank, check_free, colour, place, save_figure, style
from seefit.errors import UsageError
from seefit.files import to_json
from seefit.fitting import begin, check_head, check_model, open_extractor
from seefit.gathering import gather
from seefit.settings import Settings, make_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seefit.training.lr_find import Curve, Suggestion

TYPES = (".png", ".svg")
ROWS = 14  # of the table
WIDTH, HEIGHT = 560.0, 330.0  # of the picture, in points


def lr_find(given: dict[str, Any], *, out: Path | None, json_output: bool, console: Console) -> int:
    """Do all that training does before its first epoch, then let the rate rise over training batches and watch the loss.

    Args:
        given: Settings given by hand, as for ``train``.
        out: A ``.png`` or ``.svg`` file for the picture that is not there yet; None for none.
        json_output: Print ``{"lr", "rate", "kind", "why", "diverged_at", "curve": {"rate", "loss", "smoothed"}, "out"}`` on stdout.
        console: Where progress is shown.

    Raises:
        UsageError: A bad setting, or a file in the way.
        SeefitError: As in training.
    """
    if out is not None:
        check_free(out, *TYPES)
    settings = make_settings({"method": "finetune", **given})
    if settings.way == "probe":
        hint = "Leave out --method, or use --method scratch"
        raise UsageError("A probe has no learning rate", where="--method", expected="finetune or scratch", got="probe", hint=hint)
    curve, found, lr = _sweep(settings, console)
    if out is not None:
        save_figure(draw_curve(curve, found), out, "lr-find", f"Loss over learning rate; suggested: {found.rate:g}")
    if json_output:
        print(to_json(_record(curve, found, lr) | {"out": None if out is None else str(out)}))
        return 0
    _print(curve, found, lr)
    if out is not None:
        print(f"picture     {out}")
    return 0


def _sweep(settings: Settings, console: Console) -> tuple[Curve, Suggestion, str]:
    """Go the way of training up to its loop; return the curve, what it suggests, and that as ``--lr`` takes it."""
    check_model(settings)
    gathered = gather(settings, None, console=console)
    check_head(settings, gathered.dataset.classes)
    classes, train, val = gathered.dataset.classes, gathered.part("train"), gathered.part("val")
    extractor = open_extractor(settings, gathered.seen.sizes[gathered.split.index("train")], console=console)
    begun = begin(settings, extractor, classes, train, val, console=console)
    from seefit.finetuning import prepared  # brings torch: after everything that may be wrong
    from seefit.plans import rates_text, spread
    from seefit.training.lr_find import suggest, sweep

    with prepared(settings, begun, classes, train, None, console=console) as ready:
        plan, seconds = ready.plan(), ready.choice.seconds_per_batch
        curve = sweep(ready.network, plan, ready.training, seconds_per_batch=seconds, console=console)
        found = suggest(curve)
        return curve, found, rates_text(ready.plan(spread(found.rate, plan)))


def _record(curve: Curve, found: Suggestion, lr: str) -> dict[str, Any]:
    return {
        "lr": lr,
        "rate": found.rate,
        "kind": found.kind,
        "why": found.why,
        "diverged_at": float(curve.rates[-1]) if curve.diverged else None,
        "curve": {"rate": curve.rates.tolist(), "loss": curve.losses.tolist(), "smoothed": curve.smoothed.tolist()},
    }


def _print(curve: Curve, found: Suggestion, lr: str) -> None:
    """Print some rows of the curve, the last among them, and what follows from it."""
    print(f"{'rate of the head':>16} {'loss':>9} {'smoothed':>9}")
    for row in np.unique(np.linspace(0, len(curve.rates) - 1, ROWS).round().astype(int)):
        print(f"{curve.rates[row]:>16.1e} {_number(curve.losses[row]):>9} {_number(curve.smoothed[row]):>9}")
    print(f"diverged    {f'at {curve.rates[-1]:.1e}' if curve.diverged else f'not up to {curve.rates[-1]:.1e}'}")
    print(f"suggestion  --lr {lr}")
    print(f"            {found.why}")


def _number(loss: float) -> str:
    return f"{loss:.4f}" if abs(loss) < 1000 else f"{loss:.1e}"  # also of what is no number


def draw_curve(curve: Curve, found: Suggestion) -> Figure:
    """Draw the loss over the rate, smoothed and as it was, with the suggestion and where the loss diverged.

    Args:
        curve: Of a sweep.
        found: What it suggests.

    Returns:
        A figure 560 points wide.
    """
    figure = blank(WIDTH, HEIGHT)
    with style():
        axes = place(figure, left=58, bottom=44, right=24, top=40)
        axes.set_xscale("log")
        axes.plot(curve.rates, curve.losses, color=colour("faint"), linewidth=1.2, label="each batch")
        axes.plot(curve.rates, curve.smoothed, color=colour("accent"), linewidth=2.2, label="smoothed")
        axes.set_ylim(_range(curve))
        axes.axvline(found.rate, color=colour("ink"), linewidth=1.2, linestyle=(0, (4, 3)))
        _note(axes, found.rate, f"suggested {found.rate:g}", "ink", "right")
        if curve.diverged:
            axes.axvline(float(curve.rates[-1]), color=colour("bad"), linewidth=1.2)
            _note(axes, float(curve.rates[-1]), "diverged", "bad", "center")
        _scale(axes, curve)
        axes.legend(frameon=False, loc="best", fontsize=10)
    return figure


def _range(curve: Curve) -> tuple[float, float]:
    """Return the losses to show: all of the smoothed ones, but not how far it shoots up once it diverges."""
    seen = np.concatenate([curve.losses, curve.smoothed])
    seen = seen[np.isfinite(seen)]
    first = curve.smoothed[0]
    top = max(float(curve.losses[: len(curve.losses) // 2].max()), first + abs(first))
    low, high = float(seen.min()), min(float(seen.max()), top)
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _note(axes: Axes, rate: float, text: str, tint: str, side: str) -> None:
    """Write above a line, on a side of it."""
    axes.text(rate, 1.02, text, transform=axes.get_xaxis_transform(), color=colour(tint), ha=side, va="bottom", fontsize=10.5)


def _scale(axes: Axes, curve: Curve) -> None:
    """Mark every power of ten; matplotlib's own labels are formulas, which are switched off."""
    low, high = (math.log10(rate) for rate in (curve.rates[0], curve.rates[-1]))
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    axes.set_xticks([10.0**power for power in powers], labels=[f"{10.0**power:g}" for power in powers])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("learning rate of the head")
    axes.set_ylabel("training loss")
