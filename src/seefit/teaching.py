"""The teacher of a run: a larger bundle, whose answers the network learns from beside its labels.

It is looked at before anything is computed: its classes must be those of the run, and it should not have been trained on
images that the run is judged on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seefit.bundle.bundle import Bundle, load
from seefit.console import QUIET, Console
from seefit.data.listing import first_five
from seefit.data.splitfile import read_split
from seefit.errors import RunError, UsageError
from seefit.files import to_json, write_text
from seefit.runs import is_run
from seefit.settings import Settings

if TYPE_CHECKING:
    from seefit.data.scan import Scan
    from seefit.data.split import Split
    from seefit.parts import Part
    from seefit.training.batches import KeptBatches, PixelBatches
    from seefit.training.distillation import TaughtBatches
    from seefit.training.kept import View

RECORD = ".teacher.json"  # among the checkpoints: the hash of the bundle that taught until then
JUDGED = {"test": "test", "val": "validation"}  # parts that a teacher should not know


def open_teacher(settings: Settings, classes: tuple[str, ...]) -> Bundle | None:
    """Load the teacher that the settings name; None when they name none.

    Args:
        settings: What the user chose.
        classes: Of the run.

    Raises:
        UsageError: Nothing is taught, since a probe is all that is fitted, or the teacher knows other classes.
        ArtefactError: It is no bundle, or a damaged one.
    """
    if settings.teacher is None:
        return None
    if settings.way == "probe":
        raise UsageError(
            "Nothing to teach",
            where="--teacher",
            expected="--method finetune or scratch, or --preset balanced",
            got="a probe",
            hint="Add --method finetune, or leave out --teacher",
        )
    teacher = load(settings.teacher)
    if set(teacher.classes) != set(classes):
        raise UsageError(
            "The teacher knows other classes",
            where=settings.teacher,
            expected=f"the {len(classes):,} classes of the images ({first_five(list(classes))})",
            got=f"{len(teacher.classes):,} classes ({first_five(list(teacher.classes))})",
            hint="Train the teacher on the same classes, or leave out --teacher",
        )
    return teacher


def teacher_leaks(teacher: Bundle, seen: Scan, split: Split) -> list[str]:
    """Return a sentence for each part that the run is judged on and of which the teacher was trained on images.

    Only the folder of the teacher's own run tells; of a bundle that was moved nothing is known.

    Args:
        teacher: The bundle.
        seen: The images of the run.
        split: Their parts.
    """
    run = teacher.folder.parent
    if not (is_run(run) and (run / "split.csv").is_file()):
        return []
    known = {row.sha256 for row in read_split(run / "split.csv") if row.split == "train"}
    found = []
    for part, title in JUDGED.items():
        index = split.index(part).tolist()
        names = [seen.samples[i].name for i in index if seen.sha256[i] in known]
        if names:
            found.append(
                f"A leak: the teacher {run.name} was trained on {len(names):,} of the {len(index):,} {title} images "
                f"({first_five(names)}), so figures on that part are too good. Train the teacher on this run's training part alone."
            )
    return found


def check_same_teacher(checkpoints: Path, teacher: Bundle) -> None:
    """Make sure that a run goes on with the teacher that it began with.

    Args:
        checkpoints: The folder where that is noted.
        teacher: The bundle.

    Raises:
        RunError: It is another now.
    """
    record = checkpoints / RECORD
    if not record.is_file():
        checkpoints.mkdir(parents=True, exist_ok=True)
        write_text(record, to_json({"bundle": teacher.hash}))
    elif (then := json.loads(record.read_text())["bundle"]) != teacher.hash:
        raise RunError(
            "The teacher changed since the run began",
            where=teacher.folder,
            expected=f"the bundle {then[:16]}…",
            got=f"{teacher.hash[:16]}…",
            hint="Put that bundle back, or train anew",
        )


@contextlib.contextmanager
def taught(
    settings: Settings,
    batches: KeptBatches | PixelBatches,
    teacher: Bundle,
    classes: tuple[str, ...],
    part: Part,
    *,
    view: View,
    view_key: str,
    epochs: int,
    console: Console = QUIET,
) -> Iterator[TaughtBatches]:
    """Give batches that also carry the teacher's answers, once these are kept.

    Args:
        settings: What the user chose.
        batches: Of the images.
        teacher: The bundle.
        classes: Names, in the order of the outputs.
        part: The images.
        view: Makes a view of an image.
        view_key: Names the view's settings.
        epochs: How many are trained.
        console: Where to say what is computed, and for how long.
    """
    from seefit.training.distillation import Answers, TaughtBatches

    order, name = batches.order, teacher.manifest["backbone"]
    answers = Answers(
        teacher, classes, part.samples, part.sha256, view=view, view_key=view_key, max_pixels=settings.max_pixels, console=console
    )
    with answers:
        views = order.views_in(epochs)
        rows = sorted({row for epoch in range(min(epochs, views)) for row in order.rows(epoch)})
        answers.kept.fill_and_tell(rows, f"Asking the teacher ({name}) about {order.images:,} images in {views} views")
        yield TaughtBatches(batches, answers, settings.teacher_temperature)
