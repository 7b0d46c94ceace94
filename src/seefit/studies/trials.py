"""The trials of a search, kept in SQLite by Optuna: what was tried, what comes next, what mattered. The only importer of optuna.

A trial is stored when it is proposed and again when it is done. One that was under way when the process was killed goes on under its own
number with its own settings, so none is lost and none is done twice; and what is proposed next hangs on the seed and on what is done, so
a search that was broken off goes on as it would have.

Proposals come from a tree-structured Parzen estimator (Bergstra et al. 2011, NIPS, section 4); a trial that does worse after its first
folds than the median of the others did there is given up (Golovin et al. 2017, KDD, section 3.2.2: the median stopping rule).
"""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seefit.errors import ResourceError, UsageError
from seefit.studies.space import MOST_LISTED, Space, Value

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FILE = "trials.db"
NAME = "tune"
STARTUP = 10  # trials drawn by chance before the estimator proposes
UNPRUNED = 5  # whole trials before any is given up
ATTEMPTS = 10  # proposals in a row that were all tried before
FEWEST = 4  # whole trials that importance is told from
WHY, FOLDS, SECONDS = "why", "folds", "seconds"  # what is kept of a trial beside its settings and its score


def check_optuna() -> None:
    """Refuse a search where Optuna is not installed.

    Raises:
        UsageError: It is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        hint = "Run `pip install 'seefit[tune]'`"
        raise UsageError("Cannot search", where="seefit tune", expected="the package optuna", got="none", hint=hint) from error


@contextlib.contextmanager
def open_trials(folder: Path) -> Iterator[Study]:
    """Give the trials that a folder keeps, a new file where there is none.

    Raises:
        ResourceError: The file cannot be read or written.
    """
    import optuna
    from sqlalchemy.exc import DatabaseError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / FILE
    try:
        engine = {"creator": lambda: sqlite3.connect(path)}  # a path may hold what an address may not
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=engine)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
        study = optuna.create_study(storage=storage, study_name=NAME, direction="maximize", pruner=pruner, load_if_exists=True)
        try:
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (optuna.exceptions.StorageInternalError, DatabaseError, sqlite3.Error) as error:
        hint = (
            "Free some space, or make the folder writable, and run the same command again; if the file is damaged, search in a new folder"
        )
        got = str(error.__cause__ or error).splitlines()[0]
        raise ResourceError("Cannot keep the trials", where=path, expected="a file that can be written", got=got, hint=hint) from error


def done(study: Study) -> list[FrozenTrial]:
    """Return the trials that came to an end, in their order: whole, given up, or failed."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def whole(study: Study) -> list[FrozenTrial]:
    """Return the trials that saw all folds."""
    return [trial for trial in done(study) if trial.state.name == "COMPLETE"]


def best(study: Study) -> FrozenTrial | None:
    """Return the whole trial with the highest score, the first of equals; None where there is none."""
    return max(whole(study), key=lambda trial: trial.value or 0.0, default=None)


def next_trial(study: Study, space: Space, *, seed: int) -> Trial | None:
    """Return the trial to do now: one that was under way, else a new one; None where every trial of the space is done.

    Args:
        study: The trials so far.
        space: What may be tried.
        seed: Of the proposals.
    """
    import optuna

    for trial in study.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING":
            again = optuna.trial.Trial(study, trial._trial_id)  # optuna names a trial by this alone
            space.suggest(again)
            return again
    if not any(trial.state.name == "WAITING" for trial in study.get_trials(deepcopy=False)):
        params = _propose(done(study), space, seed)
        if params is None:
            return None
        study.enqueue_trial(dict(params))  # from here on it is stored
    trial = study.ask()
    space.suggest(trial)
    return trial


def hopeless(trial: Trial, step: int, score: float) -> bool:
    """Keep the score after some folds; return whether the trial should be given up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a trial that goes on after a kill may have told it before
        trial.report(score, step)
    return bool(trial.should_prune())


def finish(study: Study, trial: Trial, *, score: float | None, seconds: float, folds: Sequence[float] = (), why: str = "") -> None:
    """Store how a trial ended.

    Args:
        study: The trials.
        trial: Which one.
        score: Over all folds; None where it did not see them all.
        seconds: What it took.
        folds: The score of each fold it saw.
        why: The reason of a failure; empty for a trial that was whole or given up.
    """
    from optuna.trial import TrialState

    trial.set_user_attr(SECONDS, round(seconds, 3))
    trial.set_user_attr(FOLDS, [round(float(fold), 6) for fold in folds])
    if why:
        trial.set_user_attr(WHY, why)
    state = TrialState.FAIL if why else TrialState.PRUNED if score is None else TrialState.COMPLETE
    study.tell(trial.number, score if state == TrialState.COMPLETE else None, state=state)


def importance(study: Study, *, seed: int) -> dict[str, float] | None:
    """Return how much of the differences between whole trials each setting explains, summing to 1; None where there are too few.

    Source: functional ANOVA of a forest (Hutter, Hoos, Leyton-Brown 2014, ICML, section 4).
    """
    import optuna

    trials = whole(study)
    if len(trials) < FEWEST or len({trial.value for trial in trials}) < 2:
        return None
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    shares = {name: float(share) for name, share in found.items()}
    return shares if np.isfinite(list(shares.values())).all() else None


def _propose(tried: Sequence[FrozenTrial], space: Space, seed: int) -> Mapping[str, Value] | None:
    """Return settings that no trial had: seefit's own first, then what the estimator proposes, then any that are left."""
    import optuna

    known = {space.key(trial.params) for trial in tried}
    if not tried:
        return space.usual()
    if space.count is not None and len(known) >= space.count:
        return None
    drawn = int(np.random.default_rng([seed, len(tried)]).integers(2**31))
    sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=STARTUP)
    scratch = optuna.create_study(direction="maximize", sampler=sampler)  # in memory: only what is really tried is kept
    scratch.add_trials(tried)
    for _ in range(ATTEMPTS):
        params = space.suggest(scratch.ask())
        if space.key(params) not in known:
            return params
    if space.count is None or space.count > MOST_LISTED:
        return None
    left = [params for params in space.every() if space.key(params) not in known]
    if not left:
        return None
    return left[int(np.random.default_rng([seed, len(tried)]).integers(len(left)))]
