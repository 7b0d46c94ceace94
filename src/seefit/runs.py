"""Run folders: making one, holding its lock, reading what is in it, listing them, deleting one safely."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seefit.environment import is_alive, started
from seefit.errors import RunError, raise_all, unknown_name
from seefit.files import clear_leftovers, is_leftover, resource_error
from seefit.lineage import Parent, read_parents

LOCK = ".lock"
RUNS = Path("runs")
KEPT_IN = ("runs", "studies", "tunes")  # below the working folder
CONFIG = "config.yaml"
STARTED_IN = "started_in"  # under `resolved` in config.yaml: the folder that relative paths are meant from; at first nothing else is there
STATES = ("finished", "running", "unfinished")
SORTS = ("made", "run", "balanced_accuracy", "accuracy", "auc", "seconds")
_EARLY = frozenset({LOCK, CONFIG, "skipped.csv"})  # what a run holds before its images are split


def new_run(out: Path | None, stem: str, *, below: Path | None = None) -> Path:
    """Make a run folder: ``out``, or ``runs/<stem>-<n>`` with the first free n; ``below`` another folder than ``runs``.

    Raises:
        RunError: ``out`` holds files already, or another process works in it (named by its pid).
        ResourceError: The place cannot be written to.
    """
    if out is None:
        return _numbered(stem, below or RUNS)
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = sorted(entry.name for entry in out.iterdir() if entry.name != LOCK and not is_leftover(entry.name))
    except OSError as error:
        raise resource_error(error, out) from error
    check_free(out)
    if taken:
        raise _occupied(out, taken)
    clear_leftovers(out)
    return out


def check_free(run: Path) -> None:
    """Make sure that no other process works in a folder; takes no time, so that a command can ask before it loads what it needs.

    Raises:
        RunError: One does; its pid is named.
    """
    holder = _holder(run)
    if holder is not None:
        raise _busy(run, holder)


def _occupied(out: Path, taken: Sequence[str]) -> RunError:
    hint = f"Choose another folder with --out, or delete the old run with `seefit runs --delete {out}`"
    if is_run(out) and not is_finished(out):
        hint = f"Continue that run with `{resume_command(out)}`, c{hint[1:]}"
    got = f"{len(taken)} entries, such as {taken[0]!r}"
    return RunError("The run folder is occupied", where=out, expected="a new or empty folder", got=got, hint=hint)


def _numbered(stem: str, below: Path) -> Path:
    clean = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem).strip("-.") or "run"
    number = 1
    while True:
        folder = below / f"{clean}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
        except OSError as error:
            raise resource_error(error, folder) from error


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run's lock: our number and start. One whose process is dead is taken over.

    Raises:
        RunError: Another process holds it; its pid is named.
        ResourceError: The folder cannot be written to.
    """
    path, pid = run / LOCK, os.getpid()
    text = f"{pid} {started(pid) or ''}".rstrip()
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError as error:
            holder = _holder(run)
            if holder is not None:
                raise _busy(run, holder) from error
            path.unlink(missing_ok=True)
        except OSError as error:
            raise resource_error(error, run) from error
    with os.fdopen(handle, "w") as file:
        file.write(text)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def resumable(run: Path, *, new: bool = False) -> Iterator[None]:
    """Say on whatever ends the block early how to go on with the run.

    Args:
        run: The run folder, locked.
        new: The run starts here: if it fails before its images are split, nothing of it stays. Ctrl-C and SIGTERM are no failure.
    """
    try:
        yield
    except BaseException as error:
        if new and not isinstance(error, (KeyboardInterrupt, SystemExit)) and not (run / "split.csv").is_file():
            for name in _EARLY - {LOCK}:
                (run / name).unlink(missing_ok=True)
        if (run / CONFIG).is_file():
            error.add_note(f"Go on with: {resume_command(run)}")
        raise


def resume_command(run: Path) -> str:
    """Return what to type to go on with a run."""
    return f"seefit resume {shlex.quote(str(run))}"


def _holder(run: Path) -> int | None:
    """Return the pid of the living process that holds the lock; another process of the same number, started later, does not."""
    try:
        number, _, start = _lock_text(run).partition(" ")
        pid = int(number)
    except (OSError, ValueError):
        return None
    if pid <= 0 or pid == os.getpid() or not is_alive(pid):
        return None
    return pid if not start or started(pid) in {start, None} else None


def _lock_text(run: Path) -> str:
    """Return what is in the lock; its holder may need a moment between making the file and writing its pid."""
    for _ in range(10):
        text = (run / LOCK).read_text()
        if text:
            return text
        time.sleep(0.01)
    return ""


def _busy(run: Path, pid: int) -> RunError:
    return RunError(
        "The run is in use",
        where=run,
        expected="no other process in it",
        got=f"process {pid}",
        hint="Wait until it ends, or choose another folder with --out",
    )


def read_config(run: Path) -> dict[str, Any]:
    """Return ``config.yaml`` of a run.

    Raises:
        RunError: There is none, or it is no YAML mapping.
    """
    import yaml

    try:
        config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise not_a_run(run, "a folder without a readable config.yaml" if run.is_dir() else "no such folder") from error
    if not isinstance(config, dict):
        raise not_a_run(run, "a config.yaml that is no mapping")
    return config


def read_metrics(run: Path) -> dict[str, Any]:
    """Return ``metrics.json`` of a run.

    Raises:
        RunError: The run is not finished, or the file is damaged.
    """
    read_config(run)
    try:
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise not_a_run(run, "a run without metrics.json, not finished or damaged") from error
    if not isinstance(metrics, dict):
        raise not_a_run(run, "a metrics.json that is no mapping")
    return metrics


def not_a_run(run: Path, got: str) -> RunError:
    """Return the error for a folder that is no finished run."""
    return RunError("Not a finished run", where=run, expected="the folder of a finished run", got=got, hint="`seefit runs` lists them")


@dataclass(frozen=True)
class Listed:
    """One line of ``seefit runs``."""

    run: Path
    state: str  # finished, running or unfinished
    data: str
    backbone: str
    created: float
    headline: str
    accuracy: dict[str, float | None] | None
    balanced_accuracy: dict[str, float | None] | None
    auc: dict[str, float | None] | None
    seconds: float | None  # that training took in all
    parents: list[Parent]


def list_runs(*folders: Path) -> list[Listed]:
    """Return the runs in some folders, and the winners of studies and searches in them, newest first.

    Args:
        folders: Those of the working folder that runs, studies and searches are kept in when none is named.
    """
    places = [folder for folder in folders or map(Path, KEPT_IN) if folder.is_dir()]
    configs = [config for folder in places for kind in ("*", "*/winner*") for config in sorted(folder.glob(f"{kind}/config.yaml"))]
    found = [_listed(config.parent) for config in configs if is_run(config.parent)]
    return sorted(found, key=lambda run: (-run.created, str(run.run)))


def select_runs(
    found: Sequence[Listed], *, data: str | None = None, backbone: str | None = None, state: str | None = None, sort: str = "made"
) -> list[Listed]:
    """Return some of the runs in another order: best, newest or fastest first, and last those that do not have what they are sorted by.

    Args:
        found: From `list_runs`.
        data: A piece of the name of the data; capitals do not matter.
        backbone: A piece of the backbone's name.
        state: One of `STATES`.
        sort: One of `SORTS`.

    Raises:
        UsageError: There is no such state or order.
    """
    if state is not None and state not in STATES:
        unknown_name("state", state, STATES)
    if sort not in SORTS:
        unknown_name("order", sort, SORTS)
    chosen = [run for run in found if _holds(run.data, data) and _holds(run.backbone, backbone) and state in {None, run.state}]
    return sorted(chosen, key=lambda run: _rank(run, sort))


def _holds(name: str, piece: str | None) -> bool:
    return piece is None or piece.casefold() in name.casefold()


def _rank(run: Listed, by: str) -> tuple[bool, Any]:
    """Return what sorts a run; without the figure it comes last."""
    if by == "made":
        return False, -run.created
    if by == "run":
        return False, str(run.run)
    if by == "seconds":
        return run.seconds is None, run.seconds or 0.0
    value = (getattr(run, by) or {}).get("value")
    return value is None, -(value or 0.0)


def is_run(folder: Path) -> bool:
    """Return whether a folder is one that training made, finished or not; other tools too have a config.yaml, and ours may be copied."""
    try:
        config = read_config(folder)
    except RunError:
        return False
    if (folder / "split.csv").is_file():
        return {"data", "resolved"} <= set(config)
    early = all(entry.name in _EARLY or is_leftover(entry.name) for entry in folder.iterdir())
    return early and list(config.get("resolved") or ()) == [STARTED_IN]


def is_finished(run: Path) -> bool:
    """Return whether training came to its end: only the last write of ``metrics.json`` says how long the report took."""
    try:
        seconds = read_metrics(run).get("seconds")
    except RunError:
        return False
    return isinstance(seconds, dict) and "report" in seconds


def _listed(run: Path) -> Listed:
    config = read_config(run)
    metrics: dict[str, Any] = {}
    with contextlib.suppress(RunError):
        metrics = read_metrics(run)
    state = "finished" if is_finished(run) else "running" if _holder(run) else "unfinished"
    headline = metrics.get("headline", "")
    figures = metrics.get(headline) or {}
    created, seconds = (run / "config.yaml").stat().st_mtime, metrics.get("seconds")
    return Listed(
        run,
        state,
        str(config.get("data")),
        str(config.get("backbone")),
        created,
        headline,
        figures.get("accuracy"),
        figures.get("balanced_accuracy"),
        figures.get("auc"),
        seconds.get("total") if isinstance(seconds, dict) else None,
        read_parents(run, config),
    )


def delete_runs(folders: Sequence[Path]) -> None:
    """Delete run folders: only what training made, only when no process works in any, and either all or none.

    A run that another one extends, beside it or in `KEPT_IN`, stays unless that one is deleted with it: it holds the older images'
    names and weights.

    Raises:
        RunError: One is no run, is in use, is a link, or is extended by another; then nothing is deleted.
        ResourceError: The system refuses.
    """
    raise_all([problem for run in folders if (problem := _undeletable(run) or _extended(run, folders))])
    for run in dict.fromkeys(folders):
        try:
            shutil.rmtree(run.absolute())
        except OSError as error:
            raise resource_error(error, run) from error


def _undeletable(run: Path) -> RunError | None:
    holder = _holder(run)
    if holder is not None:
        return _busy(run, holder)
    if is_run(run) and not run.is_symlink():
        return None
    got = "a link" if run.is_symlink() else "a folder that training did not make" if run.is_dir() else "no such folder"
    return RunError("Cannot delete", where=run, expected="the folder of a run", got=got, hint="`seefit runs` lists the runs")


def _extended(run: Path, doomed: Sequence[Path]) -> RunError | None:
    """Return the error where a run that stays extends this one."""
    gone = {other.resolve() for other in doomed}
    above = run.absolute().parents  # of runs/run, and of studies/study/winner
    places = dict.fromkeys([above[0], *(base / name for base in above[1:3] for name in KEPT_IN)])
    heirs = [
        other.run.name
        for other in list_runs(*places)
        if other.run.resolve() not in gone and any(one.kind == "extend" and one.path.resolve() == run.resolve() for one in other.parents)
    ]
    if not heirs:
        return None
    names = ", ".join(sorted(heirs))
    hint = "Delete those too, each with its own --delete, or keep this one"
    return RunError(
        "Cannot delete", where=run, expected="a run that no other run extends", got=f"one that is extended by {names}", hint=hint
    )
