"""Where a run came from: the run that it extends, or the study or search whose settings won.

Two places tell it. A run that extends another has ``extended_from`` under ``resolved`` in its config.yaml. A run that a study or a search
made has a ``lineage.json``, ``{"kind": "study" | "tune", "from": <folder>}``, which `record_parent` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from seefit.files import to_json, write_text

LINEAGE = "lineage.json"
Maker = Literal["study", "tune"]


@dataclass(frozen=True, slots=True)
class Parent:
    """What a run came from: ``extend``, ``study`` or ``tune``, and its folder."""

    kind: str
    path: Path

    def to_json(self) -> dict[str, str]:
        """Return ``{"kind", "from"}``."""
        return {"kind": self.kind, "from": str(self.path)}


def record_parent(run: Path, kind: Maker, folder: Path) -> None:
    """Write down that a study or a search made a run.

    Args:
        run: A run folder that training made.
        kind: What made it.
        folder: Where the study or search keeps its own files.

    Raises:
        ResourceError: It cannot be written.
    """
    write_text(run / LINEAGE, to_json(Parent(kind, folder.absolute()).to_json()) + "\n")


def read_parents(run: Path, config: Mapping[str, Any]) -> list[Parent]:
    """Return what a run came from; a lineage.json that was changed by hand tells nothing.

    Args:
        run: Its folder.
        config: The content of its config.yaml.
    """
    resolved = config.get("resolved")
    extended = resolved.get("extended_from") if isinstance(resolved, dict) else None
    found = [Parent("extend", Path(extended))] if isinstance(extended, str) else []
    try:
        record = json.loads((run / LINEAGE).read_text("utf-8"))
        kind, folder = record["kind"], record["from"]
    except (OSError, ValueError, KeyError, TypeError):
        return found
    return [*found, Parent(kind, Path(folder))] if kind in get_args(Maker) and isinstance(folder, str) else found
