"""A study folder (``studies/<name>/``): what was asked, what is done, what came out. A study that was broken off goes on where it ended.

``study.yaml`` holds the question; ``folds.csv`` a row per arm and fold; ``arms/<n>.json`` and ``.npz`` what else is kept of an arm that is
done; ``study.json`` and ``study.html`` the answer; ``winner/`` the run of the arm that won.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.data.tables import read_table, write_table
from seefit.errors import RunError, UsageError
from seefit.files import clear_leftovers, to_json, write_bytes, write_text
from seefit.runs import STARTED_IN, new_run
from seefit.settings import RESOLVED
from seefit.studies.judging import COLUMNS, Row, from_cells, to_cells

STUDIES = Path("studies")
QUESTION, FOLDS, ANSWER, PAGE, WINNER = "study.yaml", "folds.csv", "study.json", "study.html", "winner"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        vary: ``NAME=a,b,c``.
        folds: Of a repeat.
        repeats: Of the cross-validation.
        given: Settings that are the same for all arms, as given by hand.
        folder: That relative paths are meant from.
    """

    vary: str
    folds: int
    repeats: int
    given: Mapping[str, Any]
    folder: Path

    def to_yaml(self) -> str:
        """Return the text of ``study.yaml``."""
        header = "# Go on with this study, or look at it again, with: seefit study --out <this folder>\n"
        return header + asked_yaml({"vary": self.vary, "folds": self.folds, "repeats": self.repeats}, self.given, self.folder)


def asked_yaml(asked: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> str:
    """Return what was asked of a study or a search as YAML, so that it can go on from any folder.

    Args:
        asked: What is its own.
        given: Settings given by hand.
        folder: That relative paths are meant from.
    """
    import yaml

    settings = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    content = {**asked, "settings": settings, RESOLVED: {STARTED_IN: str(folder)}}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def is_study(folder: Path) -> bool:
    """Return whether a folder is one that a study was begun in."""
    return (folder / QUESTION).is_file()


def read_question(folder: Path) -> Question:
    """Return what a study asks.

    Raises:
        RunError: The folder is no study, or its ``study.yaml`` was changed into something else.
    """
    import yaml

    try:
        content = yaml.safe_load((folder / QUESTION).read_text("utf-8"))
        asked = {name: content[name] for name in ("vary", "folds", "repeats")}
        return Question(**asked, given=dict(content["settings"]), folder=Path(content[RESOLVED][STARTED_IN]))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        got = "no readable study.yaml" if folder.is_dir() else "no such folder"
        hint = "Name the data too, to begin a study there"
        raise RunError("Not a study", where=folder, expected="the folder of a study", got=got, hint=hint) from error


def open_folder(out: Path | None, stem: str, question: Question) -> Path:
    """Make a study folder, or go on in one that asks the same.

    Args:
        out: The folder; ``studies/<stem>-<n>`` when None.
        stem: Of its name.
        question: What is asked.

    Raises:
        UsageError: A study of another question is there.
        RunError: Something else is there, or another process works in it.
    """
    if out is None or not is_study(out):
        return new_run(out, stem, below=STUDIES)
    there = read_question(out)
    if there.to_yaml() != question.to_yaml():
        raise UsageError(
            "Another study is there",
            where=out,
            expected=f"the same question ({there.vary}, {there.repeats} times {there.folds} folds, the same settings)",
            got=f"{question.vary}, {question.repeats} times {question.folds} folds",
            hint=f"Choose another folder with --out, or go on with that study by `seefit study --out {out}`",
        )
    clear_leftovers(out)
    return out


class Kept:
    """What of a study is done, on the disk as soon as it is done.

    Args:
        folder: Of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / FOLDS
        self.rows: list[Row] = [from_cells(cells) for cells in read_table(path)] if path.is_file() else []

    def of(self, arm: str) -> list[Row]:
        """Return the rows of an arm."""
        return [row for row in self.rows if row.arm == arm]

    def replace(self, arm: str, rows: Sequence[Row]) -> None:
        """Keep rows of an arm in the place of those there are."""
        self.rows = [row for row in self.rows if row.arm != arm] + list(rows)
        write_table(self.folder / FOLDS, COLUMNS, map(to_cells, self.rows))

    def facts(self, number: int) -> dict[str, Any] | None:
        """Return what is kept of an arm that is done; None of one that is not."""
        path = self._path(number, ".json")
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def keep_facts(self, number: int, facts: Mapping[str, Any]) -> None:
        """Keep what is known of an arm: the arm is done."""
        write_text(self._path(number, ".json"), to_json(dict(facts)))

    def map(self, number: int) -> dict[str, Any] | None:
        """Return the map that is kept of an arm; None where there is none."""
        path = self._path(number, "-map.json")
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def keep_map(self, number: int, drawn: Mapping[str, Any] | None) -> None:
        """Keep the map of an arm."""
        write_text(self._path(number, "-map.json"), to_json(drawn))

    def probabilities(self, number: int) -> NDArray[np.float64] | None:
        """Return the (N, C) probabilities of an arm's first repeat, NaN for images not answered yet; None where there are none."""
        path = self._path(number, ".npz")
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return np.asarray(file["probabilities"], np.float64)

    def keep_probabilities(self, number: int, probabilities: NDArray[np.float64]) -> None:
        """Keep the (N, C) probabilities of an arm's first repeat."""
        buffer = io.BytesIO()
        np.savez(buffer, probabilities=probabilities.astype(np.float32))
        write_bytes(self._path(number, ".npz"), buffer.getvalue())

    def _path(self, number: int, suffix: str) -> Path:
        folder = self.folder / "arms"
        folder.mkdir(exist_ok=True)
        return folder / f"{number + 1}{suffix}"
