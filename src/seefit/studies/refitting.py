"""The winner of a study: trained as anyone would train it, and scored once on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.console import QUIET, Console
from seefit.data.fixes import write_labels
from seefit.gathering import Gathered
from seefit.pipeline import Run, resume, train
from seefit.runs import is_finished, is_run, read_metrics
from seefit.settings import Settings
from seefit.studies.arms import Arm
from seefit.studies.folder import WINNER, Question
from seefit.studies.pool import fixed_rows

LABELS = "labels.csv"  # corrected, of the winner that learns from them


def refit_winner(arm: Arm, question: Question, gathered: Gathered, folder: Path, *, console: Console = QUIET) -> dict[str, Any]:
    """Train the winner on the training part, with the same split and seed, and score it on the test part.

    An arm with less data wins only where more is not shown to help; it is trained on all there is.

    Args:
        arm: The winner.
        question: What was asked.
        gathered: What is known of the data.
        folder: Of the study; the run is in ``winner/`` there.
        console: Where to say what happens.

    Returns:
        ``{"run", "part", "metrics"}``: where the run is, the part it was scored on, and its figures there.
    """
    path = folder / WINNER
    if is_finished(path):
        run = Run(path, read_metrics(path))
    elif is_run(path):
        run = resume(path, console=console)
    else:
        console.say(f"Training the winner, {arm.name}, as a run of its own …")
        run = train(_settings(arm, gathered, folder), out=path, console=console)
    part = run.metrics["headline"]
    return {"run": str(path), "part": part, "metrics": run.metrics.get(part)}


def _settings(arm: Arm, gathered: Gathered, folder: Path) -> Settings:
    """Return the settings of the winner; with corrected labels, those of a table of all images in the same parts."""
    if arm.fixes is None:
        return arm.settings
    table = folder / LABELS
    write_labels(table, fixed_rows(gathered, arm.fixes))
    reading = {"data": str(table), "root": gathered.dataset.root.absolute(), "labels": "csv", "group_by": None, "sha256": None}
    return arm.settings.model_copy(update=reading)
