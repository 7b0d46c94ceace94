"""Searching for settings, so that the figure that is told is not the one that was searched for.

The search sees folds inside the training part. Its winner is trained as `seefit train` trains, on the same split, and scored once on the
part that nothing looked at before. A tune folder (``tunes/<name>/``) holds ``tune.yaml`` (what was asked), ``space.yaml``, ``split.csv``,
``trials.db``, ``trials.csv``, ``tune.json``, ``tune.html`` and the winner's run in ``winner/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.console import QUIET, Console
from seefit.data.splitfile import write_split
from seefit.data.tables import write_table
from seefit.errors import RunError, UsageError
from seefit.evaluation.paired import corrected_t, verdict
from seefit.files import clear_leftovers, to_json, write_text
from seefit.fitting import check_head, check_model
from seefit.gathering import Gathered, gather
from seefit.members import backbones_here
from seefit.pipeline import Run
from seefit.report.tuning import build_tuning, tell_settings
from seefit.report.words import Words
from seefit.resuming import located
from seefit.runs import STARTED_IN, locked, new_run
from seefit.settings import RESOLVED, Settings, make_settings
from seefit.studies.folder import asked_yaml
from seefit.studies.refitting import train_winner
from seefit.studies.scoring import Opened, make_task, planned_folds, trial_scores
from seefit.studies.space import Choice, Space, read_space
from seefit.studies.trials import FOLDS, SECONDS, WHY, best, check_optuna, done, finish, hopeless, importance, next_trial, open_trials
from seefit.studies.working import Task

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

TUNES = Path("tunes")
QUESTION, SPACE, TABLE, ANSWER, PAGE, WINNER = (
    "tune.yaml",
    "space.yaml",
    "trials.csv",
    "tune.json",
    "tune.html",
    "winner",
)
TRIALS = 30
_WINNERS = "winners"  # of the stored search: which trials were refitted, and where
_ENGINES = "engines"  # likewise: what computed the features of each network
_STATES = {"COMPLETE": "whole", "PRUNED": "given up", "FAIL": "failed"}


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        given: Settings that tell which images there are and how they are split, as given by hand.
        space: What may be tried.
        trials: How many, at most.
        minutes: What the search may take, without the winner's training; None for as long as it takes.
        folder: That relative paths are meant from.
    """

    given: Mapping[str, Any]
    space: Space
    trials: int
    minutes: float | None
    folder: Path

    def to_yaml(self) -> str:
        """Return the text of ``tune.yaml``."""
        header = "# Go on with this search with: seefit tune --out <this folder>\n"
        return header + asked_yaml({"trials": self.trials, "minutes": self.minutes}, self.given, self.folder)


def is_tune(folder: Path) -> bool:
    """Return whether a search was begun in a folder."""
    return (folder / QUESTION).is_file()


def ask(
    given: Mapping[str, Any], *, space: str | None, trials: int | None, minutes: float | None, out: Path | None, console: Console = QUIET
) -> tuple[Question, Path]:
    """Make a tune folder, or open one to go on with.

    Args:
        given: Settings given by hand; without data, ``out`` names the search to go on with.
        space: As in `read_space`; that for a probe when None.
        trials: How many in all; 30, or as the search began, when None.
        minutes: As in `Question`.
        out: The folder; ``tunes/<data>-<method>-<n>`` when None.
        console: Where to say what is gone on with.

    Raises:
        UsageError: Optuna is missing, a bad space, or a search of something else in the folder.
        RunError: The folder holds no search, or another process works in it.
    """
    check_optuna()
    if out is not None and is_tune(out):
        question = _same_question(read_question(out), given, space, out)
        question = replace(question, trials=trials or question.trials, minutes=minutes or question.minutes)
        console.say(f"Going on with the search in {out}")
        return question, out
    if "data" not in given:
        hint = "Name the data, as in `seefit tune demo:elpv`, or with --out a search to go on with"
        if out is not None:
            raise RunError("No search to go on with", where=out, expected="the folder of a search", got="none", hint=hint)
        raise UsageError("Nothing to search on", where="seefit tune", expected="DATA or --out", got="neither", hint=hint)
    base = make_settings(dict(given))
    question = Question(given, read_space(space or "probe", backbones_here()), trials or TRIALS, minutes, Path.cwd())
    stem = f"{Path(base.data.removeprefix('demo:')).stem or 'data'}-{question.space.method}"
    _check_models(question)
    return question, new_run(out, stem, below=TUNES)


def read_question(folder: Path) -> Question:
    """Return what a search asks.

    Raises:
        RunError: The folder is no search, or its files were changed into something else.
        UsageError: Its space was.
    """
    import yaml

    try:
        content = yaml.safe_load((folder / QUESTION).read_text("utf-8"))
        asked = dict(content["settings"]), content["trials"], content["minutes"], Path(content[RESOLVED][STARTED_IN])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        hint = "Begin a new search with `seefit tune DATA`"
        raise RunError("Not a search", where=folder, expected="a readable tune.yaml", got=type(error).__name__, hint=hint) from error
    given, trials, minutes, began = asked
    return Question(given, read_space(str(folder / SPACE), ()), int(trials), minutes, began)


def _same_question(there: Question, given: Mapping[str, Any], space: str | None, folder: Path) -> Question:
    """Refuse to go on with a search of other images or of another space."""
    problems = [name for name, value in given.items() if there.given.get(name) != (str(value) if isinstance(value, Path) else value)]
    if space is not None and read_space(space, backbones_here()) != there.space:
        problems.append("space")
    if problems:
        hint = f"Go on with it by `seefit tune --out {folder}`, or choose another folder"
        got, expected = f"another {', '.join(problems)}", "what the search began with"
        raise UsageError("Another search is there", where=folder, expected=expected, got=got, hint=hint)
    return there


def _check_models(question: Question) -> None:
    """Refuse networks and sizes that cannot be, before any image is read."""
    space, usual = question.space, question.space.usual()
    for name in ("backbone", "image_size"):
        domain = space.searched.get(name)
        for value in domain.values if isinstance(domain, Choice) else [usual.get(name)]:
            check_model(space.settings(question.given, {**usual, name: value} if domain is not None else usual))


def tune(question: Question, folder: Path, *, lang: str = "en", console: Console = QUIET) -> dict[str, Any]:
    """Search, from where the folder ends; train the winner; write everything down.

    Args:
        question: What is asked.
        folder: Of the search.
        lang: Of the page, ``en`` or ``zh``.
        console: Where to say what happens.

    Returns:
        The content of ``tune.json``.

    Raises:
        SeefitError: Of the kind that fits; what was tried until then is kept.
    """
    words = Words(lang)
    try:
        with locked(folder):
            clear_leftovers(folder)
            write_text(folder / SPACE, question.space.to_yaml())
            write_text(folder / QUESTION, question.to_yaml())
            record = _tune(question, folder, console)
            write_text(folder / PAGE, build_tuning(record, words))
            return record
    except BaseException as error:
        if is_tune(folder):
            error.add_note(f"Go on with: seefit tune --out {folder}")
        raise


def _tune(question: Question, folder: Path, console: Console) -> dict[str, Any]:
    base = located(make_settings(dict(question.given)), question.folder)
    given = {**question.given, **{name: getattr(base, name) for name in ("data", "root") if getattr(base, name) is not None}}
    gathered = gather(base, folder, console=console)
    judged = _judged(gathered)
    check_head(question.space.settings(given, question.space.usual()), gathered.dataset.classes)
    write_split(folder / "split.csv", gathered.seen.samples, gathered.split, gathered.seen.sha256, gathered.dataset.classes)
    task, opened = make_task(gathered, seed=base.seed), Opened()
    console.say(_promise(question, task, judged))
    with open_trials(folder) as study:
        ended = _search(question, given, (task, opened), study, folder, console)
        found = best(study)
        if found is None:
            raise _nothing_worked(done(study), folder)
        run, scored = _refit(found, question.space.settings(given, found.params), study, folder, console)
        record = _record(question, task, study, found, ended)
    figures = run.metrics[judged] or {}
    shown = {name: figures[name] for name in ("n", "balanced_accuracy", "accuracy", "macro_f1", "auc") if name in figures}
    record["winner"] = {"run": str(run.path), "part": judged, "times_scored": scored, "figures": shown}
    write_text(folder / ANSWER, to_json({"tune": str(folder), **record}))
    loaded: dict[str, Any] = json.loads((folder / ANSWER).read_text("utf-8"))
    return loaded


def _judged(gathered: Gathered) -> str:
    """Return the part that the winner is scored on; there must be one that the search does not see."""
    for part in ("test", "val"):
        if part in gathered.split.parts:
            return part
    raise UsageError(
        "Nothing to score the winner on",
        where="--test 0 --val 0",
        expected="a part that the search does not see",
        got="the training part alone",
        hint="Leave --test out, which keeps 15 % of the images back",
    )


def _promise(question: Question, task: Task, judged: str) -> str:
    count, space = question.space.count, question.space
    possible = "" if count is None else f" of {count:,} possible"
    limit = f", for {question.minutes:g} min at most" if question.minutes else ""
    folds = planned_folds(space.settings({"data": ""}, space.usual()), task)
    part = {"test": "test", "val": "validation"}[judged]
    return (
        f"Search: up to {question.trials:,} trials{possible}{limit}; each is judged on {folds} folds of {len(task.pool.labels):,} "
        f"training images. The {part} part stays untouched until the winner is scored on it, once"
    )


def _search(question: Question, given: Mapping[str, Any], at: tuple[Task, Opened], study: Study, folder: Path, console: Console) -> str:
    """Do trials until there are enough, time is over or the space is exhausted; return which of these it was."""
    seed = int(make_settings({"data": "", **given}).seed)
    _write_table(study, question.space, folder)
    while len(done(study)) < question.trials:
        spent = [trial.user_attrs.get(SECONDS, 0.0) for trial in done(study)]
        if question.minutes and spent and sum(spent) + float(np.mean(spent)) > 60 * question.minutes:
            console.say(f"The {question.minutes:g} minutes are over: the search ends after {len(spent):,} trials")
            return "minutes"
        trial = next_trial(study, question.space, seed=seed)
        if trial is None:
            console.say(f"All {len(spent):,} different trials of this space are done: the search ends early")
            return "exhausted"
        _try(trial, question.space, given, at, study, console)
        _write_table(study, question.space, folder)
    return "trials"


def _try(trial: Trial, space: Space, given: Mapping[str, Any], at: tuple[Task, Opened], study: Study, console: Console) -> None:
    """Judge one trial, to the end or until it is hopeless, and store how it ended."""
    started, scores, why, last = monotonic(), list[float](), "", False
    best_before, engines = best(study), dict(study.user_attrs.get(_ENGINES, {}))
    try:
        settings = space.settings(given, trial.params)
        planned = planned_folds(settings, at[0])
        for step, scores in enumerate(trial_scores(settings, *at, engines, space.share(trial.params))):
            last = len(scores) == planned
            if hopeless(trial, step, float(np.mean(scores))) and not last:
                break
    except (UsageError, RunError) as error:  # values that do not go together, or a loss that is no number any more
        why = error.message.splitlines()[0]
    score = float(np.mean(scores)) if last and not why else None
    study.set_user_attr(_ENGINES, engines)
    finish(study, trial, score=score, folds=scores, seconds=monotonic() - started, why=why)
    value = f"{score:.2%}" if score is not None else f"failed: {why}" if why else f"given up at {np.mean(scores):.2%}"
    star = " *" if score is not None and score > ((best_before.value if best_before else None) or 0.0) else ""
    console.say(f"{trial.number + 1:>4}  {value}{star}  {tell_settings(trial.params)}")


def _refit(found: FrozenTrial, settings: Settings, study: Study, folder: Path, console: Console) -> tuple[Run, int]:
    """Train the winner as a run of its own, once; a later winner of the same search in a folder of its own, which is counted.

    Returns:
        The run, and how many winners of this search were scored on that part.
    """
    winners: list[list[Any]] = list(study.user_attrs.get(_WINNERS, []))
    if not winners or winners[-1][0] != found.number:
        winners.append([found.number, WINNER if not winners else f"{WINNER}-{len(winners) + 1}"])
        study.set_user_attr(_WINNERS, winners)
    path = folder / winners[-1][1]
    console.say(f"\nThe winner is trial {found.number + 1}: {tell_settings(found.params)}. It is trained as a run of its own …")
    return train_winner(settings, path, "tune", folder, console=console), len(winners)


def _nothing_worked(trials: list[FrozenTrial], folder: Path) -> RunError:
    why = next((trial.user_attrs[WHY] for trial in trials if trial.user_attrs.get(WHY)), "no trial was done")
    hint = "Change the space, and search in a new folder"
    return RunError("No trial came to its end", where=folder, expected="one at least", got=f"{len(trials)} that failed ({why})", hint=hint)


def _record(question: Question, task: Task, study: Study, found: FrozenTrial, ended: str) -> dict[str, Any]:
    """Return what ``tune.json`` tells of the search."""
    tried = [_trial(trial) for trial in done(study)]
    settings = question.space.settings({"data": ""}, question.space.usual())
    return {
        "data": question.given["data"],
        "method": question.space.method,
        "asked": {"trials": question.trials, "minutes": question.minutes},
        "possible": question.space.count,
        "ended": ended,
        "counts": {state: sum(trial["state"] == state for trial in tried) for state in _STATES.values()},
        "seconds": round(sum(trial["seconds"] for trial in tried), 1),
        "images": len(task.pool.labels),
        "folds": planned_folds(settings, task),
        "engines": sorted(set(study.user_attrs.get(_ENGINES, {}).values())),
        "fixed": question.space.fixed,
        "searched": {name: domain.plain() for name, domain in question.space.searched.items()},
        "best": _trial(found),
        "first": tried[0],
        "gain": _gain(_trial(found), tried, task, question.space),
        "importance": importance(study, seed=task.seed),
        "trials": tried,
    }


def _gain(best: dict[str, Any], tried: list[dict[str, Any]], task: Task, space: Space) -> dict[str, Any] | None:
    """Hold the best trial against the first on the same folds; None where it is the first or that one did not see them all.

    The best of many is the luckiest too, so its p-value counts as often as there were trials to choose from (Bonferroni).
    """
    first, whole = tried[0], sum(trial["state"] == "whole" for trial in tried)
    if best["number"] == first["number"] or first["score"] is None or len(best["folds"]) < 2:
        return None
    learnt = min(space.share(best["params"]), space.share(first["params"])) * (len(task.folds) - 1)
    found = corrected_t(np.subtract(best["folds"], first["folds"]), 1 / learnt)
    p = min(1.0, found.p * (whole - 1))
    return {"value": found.value, "p": p, "shown": verdict(found, p) == "helps"}


def _trial(trial: FrozenTrial) -> dict[str, Any]:
    folds = trial.user_attrs.get(FOLDS, [])
    return {
        "number": trial.number + 1,
        "state": _STATES[trial.state.name],
        "score": trial.value if trial.state.name == "COMPLETE" else None,
        "so_far": float(np.mean(folds)) if folds else None,
        "folds": folds,
        "seconds": trial.user_attrs.get(SECONDS, 0.0),
        "params": dict(trial.params),
        "why": trial.user_attrs.get(WHY, ""),
    }


def _write_table(study: Study, space: Space, folder: Path) -> None:
    """Write ``trials.csv``: a row per trial that came to an end."""
    header = ["trial", "state", "score", "folds", "seconds", *space.searched, "why"]
    rows = (
        [
            one["number"],
            one["state"],
            "" if one["score"] is None else f"{one['score']:.6f}",
            " ".join(f"{fold:.4f}" for fold in one["folds"]),
            one["seconds"],
            *("" if one["params"].get(name) is None else one["params"][name] for name in space.searched),
            one["why"],
        ]
        for one in map(_trial, done(study))
    )
    write_table(folder / TABLE, header, rows)
