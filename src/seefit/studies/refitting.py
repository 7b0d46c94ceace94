"""The winner of a study or a search: trained as anyone would train it, and scored once on the part that nothing looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.console import QUIET, Console
from seefit.data.fixes import write_labels
from seefit.gathering import Gathered
from seefit.lineage import Maker, record_parent
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
    if not is_run(path):
        console.say(f"Training the winner, {arm.name}, as a run of its own …")
    run = train_winner(_settings(arm, gathered, folder), path, "study", folder, console=console)
    part = run.metrics["headline"]
    return {"run": str(path), "part": part, "metrics": run.metrics.get(part)}


def train_winner(settings: Settings, path: Path, kind: Maker, folder: Path, *, console: Console = QUIET) -> Run:
    """Train a run, go on with it or read it, as far as it is; and write down what made it.

    Args:
        settings: Of the winner.
        path: Where the run is, or will be.
        kind: What made it.
        folder: Of the study or the search.
        console: Where to say what happens.

    Raises:
        SeefitError: As in `seefit.pipeline.train`.
    """
    if is_finished(path):
        run = Run(path, read_metrics(path))
    elif is_run(path):
        run = resume(path, console=console)
    else:
        run = train(settings, out=path, console=console)
    record_parent(path, kind, folder)
    return run


def _settings(arm: Arm, gathered: Gathered, folder: Path) -> Settings:
    """Return the settings of the winner; with corrected labels, those of a table of all images in the same parts."""
    if arm.fixes is None:
        return arm.settings
    table = folder / LABELS
    write_labels(table, fixed_rows(gathered, arm.fixes))
    reading = {"data": str(table), "root": gathered.dataset.root.absolute(), "labels": "csv", "group_by": None, "sha256": None}
    return arm.settings.model_copy(update=reading)
