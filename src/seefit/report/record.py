"""What a run folder says, read once for the report and the model card."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import yaml
from numpy.typing import NDArray

from seefit.errors import RunError, SeefitError, raise_all

TINY = 1e-6  # predictions.csv rounds: a smaller probability than this says no more than "hardly any"


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric with its 95 % interval; both ends are None where nothing tells how far chance moved the value."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float:
        """Half the width of the interval; 0 where it is unknown."""
        return 0.0 if self.low is None or self.high is None else (self.high - self.low) / 2

    def above(self, mark: float) -> bool:
        """Return whether the whole interval lies above a mark."""
        return self.low is not None and self.low > mark

    def below(self, mark: float) -> bool:
        """Return whether the whole interval lies below a mark."""
        return self.high is not None and self.high < mark


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of predictions.csv.

    Attributes:
        path: Relative to the root of the dataset.
        label: What it really is.
        predicted: What the model said.
        confidence: Probability of the predicted class.
        actual: Probability of the actual class; when ``known`` is False it is at most this.
        known: Whether the file holds the probability of the actual class.
    """

    path: str
    label: str
    predicted: str
    confidence: float
    actual: float
    known: bool

    @property
    def right(self) -> bool:
        """Whether the predicted class is the actual one."""
        return self.label == self.predicted


@dataclass(frozen=True)
class Record:
    """The files of a finished run.

    Attributes:
        run: The run folder.
        config: The settings, with what the run made of them in the place of what was asked for.
        asked: The settings as they were asked for.
        metrics: The content of metrics.json.
        bundle: The content of bundle/bundle.json.
        predictions: The rows of predictions.csv.
        skipped: The rows of skipped.csv.
        history: The rows of history.csv.
        costs: What a false alarm and a miss cost whoever reads the report; only their ratio matters.
    """

    run: Path
    config: dict[str, Any]
    metrics: dict[str, Any]
    bundle: dict[str, Any]
    predictions: list[Prediction] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    history: list[dict[str, str]] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    costs: tuple[float, float] = (1.0, 1.0)

    @property
    def classes(self) -> list[str]:
        """All classes in their stored order."""
        return list(self.bundle["classes"])

    @property
    def part(self) -> str:
        """What the headline comes from: ``test``, ``val`` or, with neither, ``cross_validation``."""
        return str(self.metrics["headline"])

    @property
    def calibrated(self) -> bool:
        """Whether its probabilities were calibrated; runs that do not say so were."""
        return self.metrics.get("calibrated") is not False

    @property
    def headline(self) -> dict[str, Any]:
        """Its metrics; empty when nothing was judged."""
        return dict(self.metrics.get(self.part) or {})

    @property
    def data(self) -> str:
        """What the run was trained on, fit to be passed on: no folder of this machine, no key in an address."""
        return public_name(str(self.config.get("data") or ""))

    @property
    def baseline_class(self) -> str:
        """The commonest class of the training part, or of the judged images when the run did not count that part."""
        counts = self.counts("train") or Counter(row.label for row in self.predictions)
        return max(counts, key=lambda name: counts[name], default="")

    @property
    def chance(self) -> float:
        """The balanced accuracy of always giving the same answer: 1 / classes, those without judged images left out."""
        judged = sum(entry.get("n", 0) > 0 for entry in (self.metrics.get("per_class") or {}).values())
        return 1 / (judged or len(self.classes))

    @cached_property
    def groups(self) -> int:
        """How many groups the judged images belong to; 0 when they have none."""
        return count_groups(self.run, "train" if self.part == "cross_validation" else self.part)

    def figure(self, part: str, name: str) -> Figure | None:
        """Return one metric of ``test``, ``val`` or ``cross_validation``, or None when the run does not have it."""
        return as_figure((self.metrics.get(part) or {}).get(name))

    def insight(self, name: str) -> dict[str, Any] | None:
        """Return the content of ``insights/<name>.json``; None where the run found nothing of the kind.

        Raises:
            RunError: The file is damaged.
        """
        path, problems = self.run / "insights" / f"{name}.json", list[SeefitError]()
        found = _read_object(path, problems) if path.is_file() else None
        raise_all(problems)
        return found

    def counts(self, part: str) -> dict[str, int]:
        """Return the number of images per class of one part."""
        return dict((self.metrics.get("counts") or {}).get(part) or {})

    def per_class(self, name: str, score: str) -> Figure | None:
        """Return ``precision``, ``recall`` or ``f1`` of one class."""
        return as_figure((self.metrics.get("per_class") or {}).get(name, {}).get(score))


def public_name(source: str) -> str:
    """Return a data source or setting without folders of this machine and without what an address may keep secret."""
    if "://" in source:
        address = urlsplit(source)
        return f"{address.hostname or ''}{address.path}"
    return f"…/{Path(source).name}" if Path(source).is_absolute() else source


def as_figure(value: object) -> Figure | None:
    """Return the figure that an object of metrics.json holds, or None where it has no value."""
    if isinstance(value, (int, float)):
        return Figure(float(value))
    if not isinstance(value, dict) or value.get("value") is None:
        return None
    number, low, high = float(value["value"]), value.get("low"), value.get("high")
    return Figure(number) if low is None or high is None else Figure(number, float(low), float(high))


def as_floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return the numbers of a list in a JSON file, NaN where it has none."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def read_run(run: Path, *, rows: bool = True) -> Record:
    """Read the files of a finished run.

    Args:
        run: The run folder.
        rows: Also read predictions, skipped files and history.

    Returns:
        What they hold; a missing skipped.csv or history.csv counts as empty.

    Raises:
        RunError: Files are missing or cannot be read; all of them are named.
    """
    problems: list[SeefitError] = []
    objects = [_read_object(run / name, problems) for name in ("config.yaml", "metrics.json", "bundle/bundle.json")]
    config, metrics, bundle = objects
    if rows and metrics.get("headline") in {"test", "val"} and not (run / "predictions.csv").is_file():
        problems.append(_missing(run / "predictions.csv"))
    raise_all(problems)
    raise_all(_gaps(run, metrics, bundle))
    asked = {key: value for key, value in config.items() if key != "resolved"}
    record = Record(run, asked | dict(config.get("resolved") or {}), metrics, bundle, asked=asked)
    if not rows:
        return record
    return replace(
        record,
        predictions=read_predictions(run / "predictions.csv"),
        skipped=_read_rows(run / "skipped.csv"),
        history=_read_rows(run / "history.csv"),
    )


def read_split(run: Path, wanted: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the rows of split.csv for some paths only, since the whole may hold millions."""
    keep = frozenset(wanted)
    return {row["path"]: row for row in _rows(run / "split.csv") if row["path"] in keep}


def count_groups(run: Path, part: str) -> int:
    """Return how many groups the images of one part belong to; 0 when they have none."""
    if not (run / "split.csv").is_file():
        return 0
    return len({row["group"] for row in _rows(run / "split.csv") if row.get("split") == part and row.get("group")})


def _missing(path: Path) -> RunError:
    return RunError(
        "Cannot read the run",
        where=path,
        expected="the file of a finished run",
        got="no such file",
        hint="Finish the run with `seefit resume RUN`, or name another run (`seefit runs` lists them)",
    )


def _damaged(path: Path, expected: str, got: str) -> RunError:
    return RunError(
        "Cannot read the run", where=path, expected=expected, got=got, hint="Train again with `seefit train --config RUN/config.yaml`"
    )


def _read_object(path: Path, problems: list[SeefitError]) -> dict[str, Any]:
    """Read a YAML or JSON object; note a problem instead of raising, so that all are told at once."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        problems.append(_missing(path))
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        problems.append(_damaged(path, f"readable {path.suffix[1:].upper()}", str(error).splitlines()[0]))
        return {}
    if not isinstance(value, dict):
        problems.append(_damaged(path, "an object with names and values", type(value).__name__))
        return {}
    return value


def _gaps(run: Path, metrics: dict[str, Any], bundle: dict[str, Any]) -> list[SeefitError]:
    part = metrics.get("headline")
    problems: list[SeefitError] = []
    if part not in {"test", "val", "cross_validation"} or (part != "cross_validation" and not isinstance(metrics.get(part), dict)):
        problems.append(_damaged(run / "metrics.json", "a `headline` that names one of its parts", repr(part)))
    if not isinstance(bundle.get("classes"), list) or not bundle["classes"]:
        problems.append(_damaged(run / "bundle" / "bundle.json", "a list `classes`", repr(bundle.get("classes"))))
    return problems


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
        yield from csv.DictReader(handle)


def _read_rows(path: Path) -> list[dict[str, str]]:
    return list(_rows(path)) if path.is_file() else []


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions.csv row by row: up to 100 classes one column each, beyond that the five most likely ones.

    Args:
        path: The file.

    Returns:
        Its rows in order; none where there is no file.

    Raises:
        RunError: The file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [_from_top(row) if "top1" in row else _from_all(row) for row in _rows(path)]
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path, "the columns path, label, predicted and probabilities", repr(error)) from error


def _from_all(row: dict[str, str]) -> Prediction:
    label, predicted = row["label"], row["predicted"]
    return Prediction(row["path"], label, predicted, float(row[f"p:{predicted}"]), float(row[f"p:{label}"]), True)


def _from_top(row: dict[str, str]) -> Prediction:
    top = {row[f"top{i}"]: float(row[f"p{i}"]) for i in range(1, 6) if row.get(f"top{i}")}
    label, predicted = row["label"], row["predicted"]
    return Prediction(row["path"], label, predicted, top[predicted], top.get(label, min(top.values())), label in top)
