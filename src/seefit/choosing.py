"""Which backbones there are to choose from on this computer."""

from __future__ import annotations

import os
from pathlib import Path

from seefit.members import OFFLINE
from seefit.models.zoo import ZOO, resolve


def backbones_here() -> list[str]:
    """Return the packaged backbones whose weights are here and those in ``SEEFIT_WEIGHTS``, the cheapest first."""
    from seefit.models.weights import available

    packaged = [name for name in OFFLINE if available(resolve(name))]
    folder = os.environ.get("SEEFIT_WEIGHTS")
    own = sorted(file.stem for file in Path(folder).glob("*.safetensors")) if folder else []
    known = {resolve(name) for name in packaged}
    return sorted([*packaged, *(name for name in own if resolve(name) not in known)], key=_cost)


def _cost(name: str) -> tuple[float, str]:
    """Return what sorts a backbone: its multiply-adds as the table counts them; one that is not in the table comes last."""
    return next((model.multiply_adds for model in ZOO if model.timm_name == resolve(name)), float("inf")), name
