"""Going on with a run that was interrupted: what it began with, and whether its images are still the same.

There is no second way through training: the same arrows run again in the same folder. What was computed is found in the
caches, every draw has its seed, and a phase that takes long keeps its own state in the run folder (``checkpoints/``). So all
that is left to do here is to make sure that the settings and the split are those the run began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seefit.data.archives import is_url
from seefit.data.dataset import Sample
from seefit.data.listing import first_five
from seefit.data.scan import Scan
from seefit.data.split import Split
from seefit.data.splitfile import SplitRow, read_split, soft_target
from seefit.errors import RunError, SeefitError, UsageError, raise_all
from seefit.files import to_json, write_text
from seefit.runs import CONFIG, STARTED_IN, is_finished, is_run, read_config, read_metrics
from seefit.settings import ALIASES, Settings, make_settings, read_resolved, read_settings, to_yaml
from seefit.training.schedule import growth_note


def read_start(run: Path) -> tuple[Settings, Path]:
    """Return what a run was begun with: its settings, and the folder that relative paths in them are meant from.

    Raises:
        RunError: The folder is none that training made.
        UsageError: ``config.yaml`` was changed by hand into something else.
    """
    if not is_run(run):
        raise RunError(
            "Nothing to resume",
            where=run,
            expected="the folder of a run",
            got="a folder that training did not make" if run.is_dir() else "no such folder",
            hint="`seefit runs` lists the runs",
        )
    started_in = (read_config(run).get("resolved") or {}).get(STARTED_IN)
    return read_settings(run / CONFIG, {}), Path(started_in or Path.cwd())


def repeat(config: Path, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a ``config.yaml``, so that they mean the same in the working folder.

    Args:
        config: Of a run: then relative paths in it are meant from the folder where that run was started. Or a recipe: then they are
            meant from the working folder.
        given: Settings given by hand, which win; relative paths among them are meant from the working folder.

    Raises:
        UsageError: As `seefit.settings.read_settings`.
    """
    settings = read_settings(config, dict(given))
    started_in = read_resolved(config).get(STARTED_IN)
    if started_in is None:
        return settings
    by_hand = {name: getattr(settings, name) for name in (ALIASES.get(key, key) for key in given)}
    return located(settings, Path(str(started_in))).model_copy(update=by_hand)


def agree(began: Settings, given: Mapping[str, Any]) -> Settings:
    """Return the settings to go on with: more epochs may be asked for, everything else stays as the run began.

    Args:
        began: The settings of the run.
        given: Settings given by hand.

    Raises:
        UsageError: Another setting, fewer epochs, or epochs of a run that has none; all are named.
    """
    now = make_settings({**began.model_dump(), **given})
    others = [name for name in given if name != "epochs" and getattr(now, name) != getattr(began, name)]
    problems = [_fixed(name, str(getattr(began, name)), getattr(now, name)) for name in others]
    if "epochs" in given and began.way == "probe":
        problems.append(_fixed("epochs", "a run that trains the upper layers", "a probe, which has no epochs"))
    elif "epochs" in given and (now.epochs or 0) < (least := began.planned_epochs):
        problems.append(_fixed("epochs", f"at least the {least} that the run began with", now.epochs))
    raise_all(problems)
    return now


def _fixed(name: str, expected: str, got: object) -> SeefitError:
    option = f"--{name.replace('_', '-')}"
    return UsageError("Cannot resume with another setting", where=option, expected=expected, got=str(got), hint=f"Leave {option} out")


def reopen(run: Path, began: Settings, settings: Settings) -> str:
    """Let a run go on for more epochs: they are kept first, so that an interrupt does not lose them, and it counts as unfinished.

    Args:
        run: The run folder, locked.
        began: Its settings so far.
        settings: The same with more epochs.

    Returns:
        A sentence for the user: what more epochs do to the schedule.
    """
    resolved = read_config(run).get("resolved") or {}
    write_text(run / CONFIG, to_yaml(settings, resolved))
    if is_finished(run):
        metrics = read_metrics(run)
        del metrics["seconds"]["report"]
        write_text(run / "metrics.json", to_json(metrics))
    return growth_note(settings.schedule, settings.planned_epochs)


def located(settings: Settings, folder: Path) -> Settings:
    """Return settings whose relative paths, meant from a folder, can be opened from the working folder."""
    if folder == Path.cwd():
        return settings
    paths = {name: folder / value.expanduser() for name in ("root", "extend", "teacher") if (value := getattr(settings, name)) is not None}
    files = {"loss": settings.loss} if ".py:" in settings.loss else {}  # file.py:function
    if not settings.data.startswith("demo:") and not is_url(settings.data):
        files["data"] = settings.data
    moved: dict[str, Any] = {name: str(folder / Path(text).expanduser()) for name, text in files.items()}
    moved["backbone"] = ",".join(str(folder / Path(name).expanduser()) if ".py:" in name else name for name in settings.backbones)
    return settings.model_copy(update=paths | moved)


def split_before(run: Path) -> list[SplitRow] | None:
    """Return ``split.csv`` of an earlier start of this run; None when it did not come so far.

    Raises:
        RunError: The file was changed by hand.
    """
    path = run / "split.csv"
    return read_split(path) if path.is_file() else None


def check_unchanged(run: Path, then: Sequence[SplitRow], now: Scan, classes: Sequence[str]) -> None:
    """Compare the images and labels, hard and soft, of an earlier start with those of today.

    Args:
        run: The run folder.
        then: ``split.csv`` of the earlier start.
        now: The scan of today.
        classes: Of today.

    Raises:
        RunError: Images were added, removed, relabelled or changed; the count and the first five of each are named.
    """
    found = _changes(then, now, classes)
    if any(found.values()):
        got = "; ".join(f"{len(names):,} {what} ({first_five(names)})" for what, names in found.items() if names)
        raise _changed(run, f"the {len(then):,} images and labels of its split.csv", got)


def check_same_split(run: Path, then: Sequence[SplitRow], samples: Sequence[Sample], split: Split) -> None:
    """Compare the parts, groups and weights of an earlier start with those of today; the images are known to be the same.

    Raises:
        RunError: Some differ; the count and the first five are named.
    """
    earlier = {row.path: (row.split, row.group, row.weight) for row in then}
    pairs = zip(samples, split.parts, strict=True)
    other = [sample.name for sample, part in pairs if earlier[sample.name] != (part, sample.group, sample.weight)]
    if other:
        raise _changed(run, "the parts, groups and weights of its split.csv", f"{len(other):,} others ({first_five(other)})")


def _changes(then: Sequence[SplitRow], now: Scan, classes: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of what differs. An image is its content: under another label it is relabelled, wherever the file is now."""
    sha256_then = {row.path: row.sha256 for row in then}
    label_then = {row.sha256: row.label for row in then}
    target_then = {row.path: row.target for row in then}
    label_now = dict(zip(now.sha256, (sample.label for sample in now.samples), strict=True))
    names_now = {sample.name for sample in now.samples}
    reasons = {skip.name: f"{skip.name}: {skip.reason}" for skip in [*now.skips, *now.unreadable]}
    found: dict[str, list[str]] = {"added": [], "removed": [], "relabelled": [], "changed": []}
    for sample, digest in zip(now.samples, now.sha256, strict=True):
        if label_then.get(digest, sample.label) != sample.label:
            found["relabelled"].append(sample.name)
        elif sample.name not in sha256_then:
            found["added"].append(sample.name)
        elif sha256_then[sample.name] != digest:
            found["changed"].append(sample.name)
        elif target_then[sample.name] != soft_target(sample, classes):
            found["relabelled"].append(sample.name)
    for row in then:
        if row.path not in names_now and label_now.get(row.sha256, row.label) == row.label:
            found["removed"].append(reasons.get(row.path, row.path))
    return found


def _changed(run: Path, expected: str, got: str) -> RunError:
    hint = f"Put the data back as they were, or train anew with `seefit train --config {run / CONFIG}`"
    return RunError("The data changed since the run began", where=run, expected=expected, got=got, hint=hint)
