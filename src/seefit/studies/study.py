"""A study: which of several ways to train is better on this data, and is the difference real?

arms × folds → figures → paired differences → winner → refitted on the training part, scored once on the test part

All arms share folds and seeds. The folds divide training and validation part; nothing here looks at the test part until the winner is
settled and trained by `seefit.pipeline.train` as anyone would train it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundling import versions
from seefit.console import QUIET, Console
from seefit.environment import threads
from seefit.errors import RunError
from seefit.files import to_json, write_text
from seefit.fitting import check_head, check_model
from seefit.gathering import Gathered, gather
from seefit.promises import about
from seefit.resuming import located
from seefit.runs import locked
from seefit.settings import Settings
from seefit.studies.arms import Arm, make_arms, parse_vary
from seefit.studies.folder import ANSWER, Kept, Question, open_folder
from seefit.studies.folds import Fold, make_study_folds
from seefit.studies.judging import HEADLINE, choose_winner, hold_against, sum_up
from seefit.studies.pool import learnt_labels, make_pool
from seefit.studies.promising import seconds_of_arm, seconds_of_winner
from seefit.studies.refitting import refit_winner
from seefit.studies.working import Task, cost_of, curve_of, drawn_map, map_of, open_arm, probe_arm, time_networks
from seefit.telling import environment_line
from seefit.training.features import FeatureExtractor

FOLDS = 3
REPEATS, REPEATS_TRAINED = 10, 2  # unless the user says otherwise; training layers takes minutes a fold


@dataclass(frozen=True)
class Study:
    """A finished study: where it is and what it found, as in ``study.json``."""

    path: Path
    found: dict[str, Any]


def run_study(
    given: Mapping[str, Any],
    vary: str,
    *,
    folds: int = FOLDS,
    repeats: int | None = None,
    out: Path | None = None,
    folder: Path | None = None,
    console: Console = QUIET,
) -> Study:
    """Compare ways to train on one data set.

    Args:
        given: Settings that are the same for all arms, as given by hand; ``data`` among them.
        vary: ``NAME=a,b,c``; the first value is the one that the others are held against.
        folds: Of a repeat, at least 2.
        repeats: Of the cross-validation; 10, or 2 where layers are trained, when None.
        out: The study folder; one with the same study in it goes on where that was broken off. ``studies/<data>-<name>-<n>`` when None.
        folder: That relative paths are meant from; the working folder when None.
        console: Where to say what happens.

    Raises:
        SeefitError: Of the kind that fits; what was done until then stays in the folder.
    """
    varied = parse_vary(vary)
    arms = [located_arm(arm, folder or Path.cwd()) for arm in make_arms(given, varied)]
    for arm in arms:
        check_model(arm.settings)
    if repeats is None:
        repeats = REPEATS if all(arm.by_probe for arm in arms) else REPEATS_TRAINED
    question = Question(vary, folds, repeats, given, folder or Path.cwd())
    stem = f"{Path(arms[0].settings.data.removeprefix('demo:')).stem or 'data'}-{varied.name.replace('_', '-')}"
    path = open_folder(out, stem, question)
    with locked(path):
        write_text(path / "study.yaml", question.to_yaml())
        try:
            return Study(path, _run(arms, question, path, console))
        except BaseException as error:
            error.add_note(f"Go on with: seefit study --out {path}")
            raise


def located_arm(arm: Arm, folder: Path) -> Arm:
    """Return an arm whose relative paths, meant from a folder, can be opened from the working folder."""
    fixes = None if arm.fixes is None else folder / arm.fixes.expanduser()
    return Arm(arm.name, located(arm.settings, folder), arm.amount, fixes)


def _run(arms: list[Arm], question: Question, path: Path, console: Console) -> dict[str, Any]:
    started, base = time.monotonic(), arms[0].settings
    console.say(environment_line())
    gathered = gather(base, None, console=console)
    for arm in arms:
        check_head(arm.settings, gathered.dataset.classes)
    task = _make_task(gathered, question, base)
    kept = Kept(path)
    _same_data(kept, task)
    _say_plan(arms, task, gathered, question, console)
    opened: dict[tuple[object, ...], FeatureExtractor] = {}
    promised = _promise(arms, task, gathered, kept, opened, console)
    facts = [_work(number, arm, task, gathered, kept, opened, console) for number, arm in enumerate(arms)]
    _time(arms, task, kept, facts, opened, console)
    found = _found(arms, question, task, gathered, kept, facts)
    winner = arms[found["winner"]["number"]]
    found["winner"] |= refit_winner(winner, question, gathered, path, console=console)
    took = time.monotonic() - started
    found |= {"versions": versions(), "promised": round(promised, 1), "seconds": round(took, 1)}
    write_text(path / ANSWER, to_json(found))
    console.say(f"Done in {about(took)}; about {about(promised)} were promised")
    return found


def _make_task(gathered: Gathered, question: Question, base: Settings) -> Task:
    pool = make_pool(gathered)
    folds = make_study_folds(pool.labels, pool.part.units, folds=question.folds, repeats=question.repeats, seed=base.seed)
    return Task(pool, folds, base.seed)


def _same_data(kept: Kept, task: Task) -> None:
    """Refuse to go on with other images or labels."""
    path, digest = kept.folder / "arms" / "data.sha256", task.pool.digest
    if path.is_file() and path.read_text() != digest:
        hint = "Begin anew with another --out, or put the data back as it was"
        raise RunError("The data changed since the study began", where=kept.folder, expected="the same images", got="others", hint=hint)
    path.parent.mkdir(exist_ok=True)
    write_text(path, digest)


def _say_plan(arms: list[Arm], task: Task, gathered: Gathered, question: Question, console: Console) -> None:
    images, test = len(task.pool.labels), gathered.split.parts.count("test")
    repeats = task.folds[-1].repeat + 1
    console.say(f"{len(arms)} arms, {len(task.folds)} folds each ({repeats} times {len(task.folds) // repeats}) of {images:,} images")
    if repeats < question.repeats:
        console.say(f"  note: {repeats} repeats instead of {question.repeats}: the groups cannot be divided in more ways")
    console.say(
        f"{test:,} test images are left out until the winner is scored" if test else "There is no test part: nothing scores the winner"
    )


def _promise(
    arms: list[Arm], task: Task, gathered: Gathered, kept: Kept, opened: dict[tuple[object, ...], FeatureExtractor], console: Console
) -> float:
    """Say how long what is left takes; return that in seconds."""
    left = [arm for number, arm in enumerate(arms) if kept.facts(number) is None]
    seconds = {arm.name: seconds_of_arm(arm, task, open_arm(arm.settings, task.pool, opened, console)) for arm in left}
    winner, extractor = arms[0], open_arm(arms[0].settings, task.pool, opened, console)
    parts = gathered.part("train"), gathered.part("val")
    seconds["the winner's run"] = seconds_of_winner(winner, *parts, gathered.judged, len(task.pool.classes), extractor)
    told = ", ".join(f"{name} {about(part)}" for name, part in seconds.items())
    console.say(f"About {about(sum(seconds.values()))} on this computer ({threads()} threads): {told}")
    return sum(seconds.values())


def _work(
    number: int,
    arm: Arm,
    task: Task,
    gathered: Gathered,
    kept: Kept,
    opened: dict[tuple[object, ...], FeatureExtractor],
    console: Console,
) -> dict[str, Any]:
    """Do what is left of an arm."""
    done = kept.facts(number)
    if done is not None:
        return done
    console.say(f"Arm {number + 1}, {arm.name}: {len(task.folds)} {'heads' if arm.by_probe else 'networks'}")
    extractor = open_arm(arm.settings, task.pool, opened, console)
    labels = learnt_labels(gathered, task.pool, arm.fixes)
    if arm.by_probe:
        drawn = _probe(number, arm, task, extractor, labels, kept, console)
    else:
        drawn = _train(number, arm, task, extractor, labels, kept, console)
    probabilities = kept.probabilities(number)
    curve = None if probabilities is None else curve_of(probabilities, task.pool, task.seed)
    hidden = arm.settings.hidden if arm.settings.head == "hidden" else 0
    facts = cost_of(extractor, task.pool, hidden) | {"curve": curve, "map": drawn}
    kept.keep_facts(number, facts)
    return facts


def _time(
    arms: list[Arm],
    task: Task,
    kept: Kept,
    facts: list[dict[str, Any]],
    opened: dict[tuple[object, ...], FeatureExtractor],
    console: Console,
) -> None:
    """Add to the facts how many images a second each arm answers, all measured at the same time."""
    if all("images_per_second" in one for one in facts):
        return
    rates = time_networks([open_arm(arm.settings, task.pool, opened, console) for arm in arms], task.pool)
    for number, (one, rate) in enumerate(zip(facts, rates, strict=True)):
        one["images_per_second"] = rate
        kept.keep_facts(number, one)


def _probe(
    number: int, arm: Arm, task: Task, extractor: FeatureExtractor, labels: NDArray[np.int64], kept: Kept, console: Console
) -> dict[str, Any] | None:
    """Fit the heads of all folds at once, which takes seconds: they are kept together."""
    judged = list(probe_arm(arm, task, extractor, labels, console))
    _keep_first(number, task, kept, [(fold, one.probabilities) for fold, one in zip(task.folds, judged, strict=True)])
    kept.replace(arm.name, [one.row for one in judged])
    return map_of(arm, task, extractor, console)


def _train(
    number: int, arm: Arm, task: Task, extractor: FeatureExtractor, labels: NDArray[np.int64], kept: Kept, console: Console
) -> dict[str, Any] | None:
    """Train what is missing, and keep each fold as soon as it is done."""
    from seefit.studies.trained import train_arm  # brings torch

    folds = task.folds[len(kept.of(arm.name)) :]
    for fold, one in zip(folds, train_arm(arm, task, folds, extractor, labels, console), strict=True):
        _keep_first(number, task, kept, [(fold, one.judged.probabilities)])
        if fold is task.folds[0]:
            kept.keep_map(number, drawn_map(one.features, task.pool.labels[fold.held_out], "trained", 1, task.seed))
        kept.replace(arm.name, [*kept.of(arm.name), one.judged.row])
    return kept.map(number)


def _keep_first(number: int, task: Task, kept: Kept, answers: list[tuple[Fold, NDArray[np.float64]]]) -> None:
    """Keep the answers of the first repeat: each image by the head that had not seen it."""
    table = kept.probabilities(number)
    if table is None:
        table = np.full((len(task.pool.labels), len(task.pool.classes)), np.nan)
    for fold, probabilities in answers:
        if fold.repeat == 0:
            table[fold.held_out] = probabilities
    kept.keep_probabilities(number, table)


def _found(arms: list[Arm], question: Question, task: Task, gathered: Gathered, kept: Kept, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the folds say, as ``study.json`` has it."""
    rows = [kept.of(arm.name) for arm in arms]
    sums = [sum_up(own) for own in rows]
    against = hold_against(rows[0], rows[1:])
    means = [one["figures"][HEADLINE]["mean"] or 0.0 for one in sums]
    ranks = {number: rank for rank, number in enumerate(np.argsort([-mean for mean in means], kind="stable").tolist(), 1)}
    number = choose_winner(means, [one["verdict"] for one in against])
    vary = parse_vary(question.vary)
    return {
        "data": arms[0].settings.data,
        "vary": {"name": vary.name, "values": list(vary.values)},
        "method": [arm.settings.way for arm in arms],
        "classes": list(task.pool.classes),
        "images": len(task.pool.labels),
        "groups": 0 if task.pool.groups is None else int(task.pool.groups.max()) + 1,
        "folds": len(task.folds) // (task.folds[-1].repeat + 1),
        "repeats": task.folds[-1].repeat + 1,
        "seed": task.seed,
        "arms": [
            {
                "name": arm.name,
                "rank": ranks[i],
                **one,
                "against": None if i == 0 else against[i - 1],
                "scores": [getattr(row, HEADLINE) for row in own],
                **fact,
            }
            for i, (arm, own, one, fact) in enumerate(zip(arms, rows, sums, facts, strict=True))
        ],
        "winner": {"number": number, "arm": arms[number].name, "shown": number != 0},
    }
