"""A search from data to winner: killed and gone on with, nested, ended by time, and the winner scored once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import read_csv
from killed import Killer
from seefit.errors import RunError, UsageError
from seefit.runs import is_finished
from seefit.studies import tune as searching
from seefit.studies import working
from seefit.studies.space import make_space
from seefit.studies.tune import ask, tune

SPACE = "features: [default, pooled]\nclass_weights: [none, balanced, prior]\n"
MOMENTS = (
    "inside seefit.studies.tune:hopeless 2",
    "inside seefit.studies.tune:hopeless 8",
    "inside seefit.studies.tune:finish 2",
    "inside seefit.studies.tune:trial_scores 3",
    "before model.onnx",
    "before tune.json",
)


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    process = Killer("optuna", "seefit.studies.tune", "matplotlib.figure")
    yield process
    process.close()


@pytest.fixture
def space(tmp_path: Path) -> Path:
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    return file


def search(folder: Path, data: Path | None = None, space: Path | None = None, **options: Any) -> dict[str, Any]:
    """Begin a search or go on with one, in this process."""
    given = {} if data is None else {"data": str(data)}
    asked = {"trials": None, "minutes": None, **options}
    question, path = ask(given, space=None if space is None else str(space), out=folder, **asked)
    return tune(question, path)


def trials_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of ``trials.csv`` without what hangs on the clock."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_csv(folder / "trials.csv")]


@pytest.fixture
def searched(warm: Path, tmp_path: Path, space: Path, no_page: None) -> Path:
    search(tmp_path / "whole", warm, space, trials=4)
    return tmp_path / "whole"


@pytest.mark.parametrize("moments", [MOMENTS[:2], pytest.param(MOMENTS[2:], marks=pytest.mark.slow)], ids=["within a trial", "others"])
def test_a_search_killed_at_any_moment_ends_as_an_unbroken_one(
    searched: Path, warm: Path, tmp_path: Path, space: Path, killer: Killer, moments: tuple[str, ...]
) -> None:
    for number, moment in enumerate(moments):
        folder = tmp_path / f"killed-{number}"
        assert killer.kill(moment, tmp_path, "tune", warm, "--space", space, "--trials", 4, "--out", folder) == -9, moment
        search(folder)
        assert trials_of(folder) == trials_of(searched), moment
        with sqlite3.connect(folder / "trials.db") as base:
            stored = base.execute("select number, state from trials order by number").fetchall()
        assert [state for _, state in stored] == ["COMPLETE"] * 4, moment  # none lost, none begun twice
        assert is_finished(folder / "winner")
        assert json.loads((folder / "tune.json").read_text())["winner"]["times_scored"] == 1


def test_trials_differ_and_everything_is_written_down(searched: Path) -> None:
    rows = trials_of(searched)
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    assert len({(row["features"], row["class_weights"]) for row in rows}) == 4
    record = json.loads((searched / "tune.json").read_text())
    assert record["counts"] == {"whole": 4, "given up": 0, "failed": 0}
    assert record["best"]["score"] == max(trial["score"] for trial in record["trials"])
    assert record["best"]["score"] == pytest.approx(sum(record["best"]["folds"]) / 5, abs=1e-6)
    metrics = json.loads((searched / "winner" / "metrics.json").read_text())
    assert record["winner"]["figures"]["balanced_accuracy"] == metrics["test"]["balanced_accuracy"]
    assert record["winner"]["figures"]["n"] == metrics["test"]["n"]
    assert (searched / "tune.html").read_text().startswith("<!doctype html>")


def test_the_search_never_sees_validation_and_test_part(
    searched: Path, warm: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch, no_page: None
) -> None:
    seen: set[str] = set()
    work = working.probe_arm

    def spy(arm: Any, task: Any, *others: Any) -> Any:
        seen.update(sample.name for sample in task.pool.part.samples)
        return work(arm, task, *others)

    monkeypatch.setattr("seefit.studies.scoring.probe_arm", spy)
    monkeypatch.setattr(searching, "train_winner", lambda *_, **__: pytest.fail("the winner comes after the search"))
    with pytest.raises(pytest.fail.Exception):
        search(tmp_path / "spied", warm, space, trials=2)
    parts = {row["path"]: row["split"] for row in read_csv(searched / "split.csv")}
    assert seen == {path for path, part in parts.items() if part == "train"}
    assert {"val", "test"} <= set(parts.values())
    assert parts == {row["path"]: row["split"] for row in read_csv(searched / "winner" / "split.csv")}


def test_all_of_a_space_tried_ends_early_and_searching_on_scores_a_new_winner_in_a_new_run(
    searched: Path, monkeypatch: pytest.MonkeyPatch, no_page: None
) -> None:
    before = json.loads((searched / "tune.json").read_text())
    monkeypatch.setattr(searching, "trial_scores", lambda *_: iter([[0.999] * k for k in range(1, 6)]))
    record = search(searched, trials=30)
    assert record["ended"] == "exhausted"
    assert len(record["trials"]) == record["possible"] == 6
    assert record["trials"][:4] == before["trials"]
    assert record["best"]["number"] == 5
    assert record["winner"]["times_scored"] == 2
    assert Path(record["winner"]["run"]).name == "winner-2"
    assert is_finished(searched / "winner")
    assert search(searched)["winner"]["times_scored"] == 2  # a look at the same is no further scoring


def test_a_search_without_time_does_one_trial(warm: Path, tmp_path: Path, space: Path, no_page: None) -> None:
    record = search(tmp_path / "short", warm, space, minutes=1e-6)
    assert (record["ended"], len(record["trials"])) == ("minutes", 1)
    assert record["gain"] is None


def test_hopeless_trials_are_given_up_and_failed_ones_told(
    warm: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch, no_page: None
) -> None:
    begun = 0

    def scores(*_: Any) -> Iterator[list[float]]:
        nonlocal begun
        begun += 1
        if begun == 2:
            raise RunError("The loss is no number any more", where="epoch 1", expected="a number", got="nan", hint="Lower the rate")
        for k in range(1, 6):
            yield [0.5 if begun == 7 else 0.7 + begun / 100] * k

    monkeypatch.setattr(searching, "trial_scores", scores)
    space.write_text(SPACE + "share: [1, 0.5]\n")
    record = search(tmp_path / "pruned", warm, space, trials=7)
    states = [trial["state"] for trial in record["trials"]]
    assert states == ["whole", "failed", "whole", "whole", "whole", "whole", "given up"]
    assert len(record["trials"][-1]["folds"]) == 1
    assert "The loss is no number any more" in record["trials"][1]["why"]
    assert record["best"]["number"] == 6


def test_where_nothing_works_the_first_reason_is_told(warm: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise UsageError("No such stage", where="features", expected="a stage", got="pooled", hint="Leave it out")

    monkeypatch.setattr(searching, "trial_scores", fail)
    with pytest.raises(RunError, match=r"No trial came to its end.*No such stage"):
        search(tmp_path / "none", warm, space, trials=2)


def test_another_question_does_not_go_on(searched: Path, warm: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Another search is there"):
        ask({"data": str(warm), "seed": 7}, space=None, trials=None, minutes=None, out=searched)
    other = tmp_path / "other.yaml"
    other.write_text("class_weights: [none, balanced]\n")
    with pytest.raises(UsageError, match="another space"):
        ask({"data": str(warm)}, space=str(other), trials=None, minutes=None, out=searched)
    with pytest.raises(RunError, match="No search to go on with"):
        ask({}, space=None, trials=None, minutes=None, out=tmp_path / "nothing")
    (searched / "tune.yaml").write_text("trials: [")
    with pytest.raises(RunError, match="Not a search"):
        ask({}, space=None, trials=None, minutes=None, out=searched)


def test_there_must_be_a_part_that_the_search_does_not_see(warm: Path, tmp_path: Path, space: Path) -> None:
    question, folder = ask({"data": str(warm), "test": 0, "val": 0}, space=str(space), trials=1, minutes=None, out=tmp_path / "none")
    with pytest.raises(UsageError, match="Nothing to score the winner on"):
        tune(question, folder)


def test_an_interrupt_says_how_to_go_on(warm: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(searching, "trial_scores", stop)
    with pytest.raises(KeyboardInterrupt) as error:
        search(tmp_path / "stopped", warm, space, trials=2)
    assert error.value.__notes__[-1] == f"Go on with: seefit tune --out {tmp_path / 'stopped'}"


def test_the_best_of_many_is_held_against_the_first_with_its_luck_counted() -> None:
    from types import SimpleNamespace

    space, task = make_space({"class_weights": ["none", "balanced"]}, ()), SimpleNamespace(folds=[0] * 5)

    def trial(number: int, folds: list[float], state: str = "whole") -> dict[str, Any]:
        return {"number": number, "state": state, "score": sum(folds) / 5, "folds": folds, "params": {}}

    first, best = trial(1, [0.70, 0.72, 0.71, 0.69, 0.70]), trial(2, [0.80, 0.82, 0.81, 0.80, 0.80])
    few = searching._gain(best, [first, best], task, space)  # type: ignore[arg-type]
    many = searching._gain(best, [first, best, *(trial(i, [0.5] * 5) for i in range(3, 300))], task, space)  # type: ignore[arg-type]
    assert few is not None
    assert many is not None
    assert few["value"] == pytest.approx(0.102)
    assert few["shown"]
    assert many["p"] == pytest.approx(min(1.0, 298 * few["p"]))
    assert searching._gain(first, [first, best], task, space) is None  # type: ignore[arg-type]
