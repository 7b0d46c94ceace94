"""The insights of a run: which there are, and their files.

Each is a function of the run's `Material` that gives a JSON object, or None where it has nothing to say. The report reads the files and
nothing else. What must travel with the model (temperature, thresholds, sets) is no insight: fitting makes it, before anything is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seefit.console import QUIET, Console
from seefit.files import resource_error, to_json, write_text
from seefit.insights.curves import find_curves
from seefit.insights.decide import find_decide
from seefit.insights.diagnosis import find_diagnosis
from seefit.insights.doctor import find_doctor
from seefit.insights.explain import find_explain
from seefit.insights.forecast import find_forecast
from seefit.insights.map import find_map
from seefit.insights.material import Material
from seefit.insights.trust import find_trust

FOLDER = "insights"
Insight = Callable[[Material], dict[str, Any] | None]
INSIGHTS: dict[str, Insight] = {
    "diagnosis": find_diagnosis,
    "curves": find_curves,
    "decide": find_decide,
    "explain": find_explain,
    "map": find_map,
    "forecast": find_forecast,
    "doctor": find_doctor,
    "trust": find_trust,
}


def write_insights(material: Material, *, console: Console = QUIET) -> None:
    """Find every insight of a run and write it to ``insights/<name>.json``; what has nothing to say leaves no file.

    Args:
        material: The run.
        console: Where to show progress, and the sentence of every insight that has one (``told``).

    Raises:
        ResourceError: The run folder cannot be written to.
    """
    folder = material.run / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise resource_error(error, folder) from error
    told: list[str] = []
    with console.bar("Insights", len(INSIGHTS), "insights") as advance:
        for name, find in INSIGHTS.items():
            found, path = find(material), folder / f"{name}.json"
            if found is None:
                path.unlink(missing_ok=True)
            else:
                write_text(path, to_json(found))
                told += [found["told"]] if "told" in found else []
            advance(1)
    for sentence in told:
        console.say(sentence)
