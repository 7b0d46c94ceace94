"""The page of ``seefit tune``."""

from __future__ import annotations

from typing import Any

from seefit.report.words import Words


def build_tuning(record: dict[str, Any], words: Words) -> str:
    """Return the page of a search as HTML."""
    return ""
