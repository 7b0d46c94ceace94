"""What `seefit.insights.trust.find_trust` finds, made by hand: for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def estimated(value: float, half: float = 0.05) -> dict[str, float | None]:
    return {"value": value, "low": value - half, "high": min(1.0, value + half)}


def insight(**changes: Any) -> dict[str, Any]:
    """Return what `seefit.insights.trust.find_trust` finds."""
    found = {
        "fitted_on": "val",
        "images_fitted": 132,
        "part": "test",
        "images": 100,
        "sets": {
            "stated": 0.9,
            "coverage": estimated(0.93),
            "size": estimated(1.24, 0.1),
            "sizes": [[1, 76], [2, 24]],
            "own_limits": 2,
            "per_class": [
                {"label": "dog", "images": 40, "coverage": estimated(0.88, 0.1)},
                {"label": "cat", "images": 60, "coverage": {"value": 0.96, "low": None, "high": None}},
            ],
        },
        "unknown": {
            "stated": 0.05,
            "refused": estimated(0.07, 0.03),
            "per_class": [{"label": "cat", "images": 60, "refused": estimated(0.12)}],
            "histogram": {"edges": np.linspace(-2, 4, 31).tolist(), "images": [0] * 12 + [93] + [0] * 4 + [7] + [0] * 12},
        },
        "selective": {
            "shares": [0.2, 0.4, 0.6, 0.8, 1.0],
            "accuracy": [1.0, 0.98, 0.97, 0.95, 0.84],
            "low": [0.8, 0.9, 0.9, 0.88, 0.76],
            "high": [1.0, 1.0, 1.0, 0.98, 0.9],
            "area": estimated(0.95, 0.02),
            "at": {"share": 0.8, "accuracy": {"value": 0.95, "low": 0.88, "high": 0.98}},
            "threshold": {"confidence": 0.61, "answered": estimated(0.79), "accuracy": estimated(0.94, 0.04)},
        },
        "ece_floor": {"mean": 0.066, "seldom": 0.098},
        "nll": {"part": "val", "before": 0.69, "after": 0.589},
    }
    return found | changes


def write_insight(run: Path, **changes: Any) -> None:
    """Write it to a run folder."""
    (run / "insights").mkdir(exist_ok=True)
    (run / "insights" / "trust.json").write_text(json.dumps(insight(**changes)))
