"""Runs that are to be compared: what each said of its test part, brought into one order, and what each costs."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle
from seefit.bundle.predict import predict
from seefit.data.dataset import Sample
from seefit.data.listing import first_five
from seefit.data.splitfile import SplitRow, read_split
from seefit.data.tables import read_table
from seefit.errors import RunError, SeefitError, UsageError, raise_all
from seefit.evaluation.evaluate import group_numbers, read_probabilities
from seefit.report.record import Record, read_run

TIMED_IMAGES, TIMED_ROUNDS = 32, 3
TIMED_SIDE = 512  # pixels
Entry = tuple[str, str]  # sha256 and label


@dataclass(frozen=True)
class Entrant:
    """A finished run with its test part.

    Attributes:
        record: Its files.
        rows: Of split.csv, of the N test images, sorted by content.
        probabilities: (N, C) what it said of them.
    """

    record: Record
    rows: list[SplitRow]
    probabilities: NDArray[np.float64]

    @property
    def run(self) -> Path:
        """Its folder."""
        return self.record.run

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """(N,) numbers of groups, None without groups."""
        return group_numbers([row.group for row in self.rows])


@dataclass(frozen=True)
class Stability:
    """How far apart learnt and other images are, on average and as sizes: the smaller, the less was learnt by heart.

    Attributes:
        loss: In nats.
        accuracy: As a share.
        over: ``epochs`` of a trained network, on its validation part; or ``folds`` of a probe's cross-validation.
        count: Of epochs, of all networks; or of folds.
    """

    loss: float
    accuracy: float
    over: str
    count: int

    def to_json(self) -> dict[str, float | str | int]:
        """Return every attribute by its name."""
        return {"loss": self.loss, "accuracy": self.accuracy, "over": self.over, "count": self.count}


def read_entrants(runs: Sequence[Path]) -> list[Entrant]:
    """Read finished runs that were judged on the same test images.

    Args:
        runs: Their folders, two at least.

    Returns:
        One per run, the images of all in one order and the classes in that of the first.

    Raises:
        UsageError: Fewer than two runs, one named twice, or their test images, labels or classes are not the same.
        RunError: A folder is no finished run, has no test part, or lacks its predictions; all such runs are named.
    """
    places = [run.resolve() for run in runs]
    twice = [str(run) for run, place in zip(runs, places, strict=True) if places.count(place) > 1]
    if len(runs) < 2 or twice:
        got = f"{twice[0]} twice" if twice else f"{len(runs)}"
        hint = "Name the folders of two runs or more; `seefit runs` lists them"
        raise UsageError("Nothing to compare", where="the runs", expected="two different runs at least", got=got, hint=hint)
    found, problems = list[Entrant](), list[SeefitError]()
    for run in runs:
        try:
            found.append(_read(run))
        except SeefitError as error:
            problems.append(error)
    raise_all(problems)
    raise_all([problem for other in found[1:] if (problem := _difference(found[0], other))])
    return [found[0], *(_in_order_of(other, found[0].record.classes) for other in found[1:])]


def _read(run: Path) -> Entrant:
    record = read_run(run, rows=False)
    if record.part != "test":
        got = {"val": "figures of the validation part"}.get(record.part, "figures of cross-validation")
        hint = "Train again with a test part, such as --test 0.15"
        raise RunError("The run has no test part", where=run, expected="a run that was judged on test images", got=got, hint=hint)
    path = run / "predictions.csv"
    if not path.is_file():
        raise _lost(path, "no such file")
    table, rows = read_table(path), {row.path: row for row in read_split(run / "split.csv") if row.split == "test"}
    if Counter(row.get("path") for row in table) != Counter(rows.keys()):
        raise _lost(path, f"{len(table):,} rows that are not the {len(rows):,} test images of split.csv")
    try:
        probabilities = read_probabilities(run, table, record.classes)
    except (KeyError, ValueError, OSError) as error:
        raise _lost(path, f"other columns ({type(error).__name__})") from error
    if probabilities.shape != (len(table), len(record.classes)) or not np.isfinite(probabilities).all():
        raise _lost(path, "other probabilities")
    chosen = [rows[row["path"]] for row in table]
    order = sorted(range(len(chosen)), key=lambda i: (chosen[i].sha256, chosen[i].label, chosen[i].path))
    return Entrant(record, [chosen[i] for i in order], probabilities[order])


def _lost(path: Path, got: str) -> RunError:
    hint = "Train again with `seefit train --config RUN/config.yaml --out NEW`"
    return RunError("Cannot read the predictions", where=path, expected="a row for every test image of the run", got=got, hint=hint)


def _difference(first: Entrant, other: Entrant) -> UsageError | None:
    """Return what keeps two runs from being compared: other images, other labels, or other classes."""
    ours, theirs = ({row.sha256: row for row in one.rows} for one in (first, other))
    missing, more = ([rows[key].path for key in rows if key not in others] for rows, others in ((ours, theirs), (theirs, ours)))
    if missing or more:
        got = " and ".join(
            f"{len(paths):,} {what} ({first_five(paths)})" for paths, what in ((missing, "images fewer"), (more, "others")) if paths
        )
        hint = "Train both on the same DATA with the same --seed, --val, --test and --group-by, or with a given split"
        return _refused("Other test images", other, f"the {len(first.rows):,} test images of {first.run}", got, hint)
    if _content(first.rows) != _content(other.rows):
        changed = [f"{ours[key].path} is {theirs[key].label!r}" for key in ours if ours[key].label != theirs[key].label]
        got = first_five(changed) if changed else "some images more often"
        return _refused("Other test labels", other, f"the labels of {first.run}", got, "Train one of them again on the other's labels")
    if set(first.record.classes) != set(other.record.classes):
        apart = sorted(set(first.record.classes) ^ set(other.record.classes))
        got = f"a difference in {first_five([repr(name) for name in apart])}"
        return _refused(
            "Other classes", other, f"the {len(first.record.classes)} classes of {first.run}", got, "Compare runs of the same classes"
        )
    return None


def _content(rows: Sequence[SplitRow]) -> Counter[Entry]:
    return Counter((row.sha256, row.label) for row in rows)


def _refused(what: str, other: Entrant, expected: str, got: str, hint: str) -> UsageError:
    return UsageError(what, where=other.run, expected=expected, got=got, hint=hint)


def _in_order_of(entrant: Entrant, classes: Sequence[str]) -> Entrant:
    columns = [entrant.record.classes.index(name) for name in classes]
    return Entrant(entrant.record, entrant.rows, entrant.probabilities[:, columns])


def read_stability(run: Path, folds: int) -> Stability | None:
    """Return how far apart training and validation were, from ``history.csv``.

    Args:
        run: The run folder.
        folds: Of a probe's cross-validation.

    Returns:
        Means of sizes: over the epochs of a trained network, or over the folds of a probe at the strength that was chosen; None where
        the run kept no such figures. Losses are those of training, with its augmentation.
    """
    path = run / "history.csv"
    rows = [{name: _number(cell) for name, cell in row.items()} for row in read_table(path)] if path.is_file() else []
    if rows and "nll_gap" in rows[0]:
        chosen = min(rows, key=lambda row: row["fold_nll"])
        return Stability(chosen["nll_gap"], chosen["accuracy_gap"], "folds", folds)
    if not rows or not {"loss", "val_loss", "accuracy", "val_accuracy"} <= set(rows[0]):
        return None
    gaps = [float(np.mean([abs(row[name] - row[f"val_{name}"]) for row in rows])) for name in ("loss", "accuracy")]
    return None if any(map(math.isnan, gaps)) else Stability(gaps[0], gaps[1], "epochs", len(rows))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def size_of(bundle: Bundle) -> int:
    """Return the bytes of all files that a bundle's manifest names."""
    return sum((bundle.folder / name).stat().st_size for name in bundle.manifest["files"])


def time_bundles(bundles: Mapping[Path, Bundle]) -> dict[Path, float]:
    """Return how many pictures a second each bundle answers on this computer: 512 x 512 pixels, decoded, by the reference.

    Each is timed three times, one after the other so that whatever else runs slows down all of them; the quickest counts.

    Args:
        bundles: By their runs.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (TIMED_SIDE, TIMED_SIDE, 3), np.uint8)
    samples = [Sample(Path(), "", None)] * TIMED_IMAGES
    best = dict.fromkeys(bundles, math.inf)
    for _ in range(TIMED_ROUNDS):
        for run, bundle in bundles.items():
            started = time.perf_counter()
            for _ in predict(bundle, samples, read=lambda _: pixels):
                pass
            best[run] = min(best[run], time.perf_counter() - started)
    return {run: TIMED_IMAGES / seconds for run, seconds in best.items()}


def describe(entrant: Entrant) -> dict[str, Any]:
    """Return what a row of a leaderboard says of how a run was made."""
    record = entrant.record
    seconds = (record.metrics.get("seconds") or {}).get("total")
    backbone = record.asked.get("backbone") or record.config.get("backbone")
    folds = (record.metrics.get("cross_validation") or {}).get("folds") or 0
    stability = read_stability(entrant.run, folds)
    made = {"backbone": str(backbone), "method": str(record.bundle.get("method") or record.asked.get("method") or "")}
    return {**made, "stability": None if stability is None else stability.to_json(), "seconds": seconds}
