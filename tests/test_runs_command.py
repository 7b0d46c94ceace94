from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from command import Answer, seefit
from seefit.lineage import Maker, record_parent


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """Return a folder with a finished run, an unfinished one, and something else."""
    shutil.copytree(trained, tmp_path / "good")
    (tmp_path / "begun").mkdir()
    for name in ("config.yaml", "split.csv"):
        shutil.copy(trained / name, tmp_path / "begun" / name)
    (tmp_path / "other").mkdir()
    return tmp_path


def test_runs_are_listed_with_their_figures(folder: Path, trained: Path) -> None:
    stored = json.loads((trained / "metrics.json").read_text())
    answer = seefit("runs", folder, "--json")
    assert (answer.code, answer.err) == (0, "")
    good, begun = sorted(answer.json["runs"], key=lambda entry: entry["state"])
    data = str(trained.parent / "photos")
    assert good == {
        "run": str(folder / "good"), "state": "finished", "data": data, "backbone": "lite0", "part": "test",
        "balanced_accuracy": stored["test"]["balanced_accuracy"], "accuracy": stored["test"]["accuracy"], "auc": stored["test"]["auc"],
        "seconds": stored["seconds"]["total"], "made": good["made"], "from": [],
    }  # fmt: skip
    assert datetime.fromisoformat(good["made"]).timestamp() == int((folder / "good" / "config.yaml").stat().st_mtime)
    assert begun == {
        "run": str(folder / "begun"), "state": "unfinished", "data": data, "backbone": "lite0", "part": "",
        "balanced_accuracy": None, "accuracy": None, "auc": None, "seconds": None, "made": begun["made"], "from": [],
    }  # fmt: skip
    table = seefit("runs", folder).out
    figure = stored["test"]["balanced_accuracy"]
    assert f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]" in " ".join(table.split())
    assert "other" not in table


def test_a_figure_without_an_interval_and_odd_names_are_shown(folder: Path) -> None:
    shutil.rmtree(folder / "begun")
    (folder / "good").rename(folder / "[bold]g")
    figures = {"headline": "val", "val": {"balanced_accuracy": {"value": 0.5, "low": None, "high": None}}}
    (folder / "[bold]g" / "metrics.json").write_text(json.dumps(figures))
    table = "".join(seefit("runs", folder).out.split())
    assert "[bold]g" in table
    assert "50.0%[–,–]onval" in table


def test_without_runs_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert seefit("runs") == Answer(0, "No runs in runs. Start one with: seefit train DATA\n", "")
    assert seefit("runs", "--json").json == {"runs": []}


def test_runs_are_deleted_by_name(folder: Path) -> None:
    answer = seefit("runs", "--delete", folder / "good", "--delete", folder / "begun", "--json")
    assert (answer.code, answer.json) == (0, {"deleted": [str(folder / "good"), str(folder / "begun")]})
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_what_is_no_run_is_not_deleted(folder: Path) -> None:
    answer = seefit("runs", "--delete", folder / "good", "--delete", folder / "other")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err == (
        f"error: Cannot delete: {folder / 'other'}. Expected the folder of a run, got a folder that training did not make.\n"
        "`seefit runs` lists the runs.\n"
    )
    assert (folder / "good" / "metrics.json").is_file()
    assert seefit("runs", "--delete", folder / "good") == Answer(0, f"deleted {folder / 'good'}\n", "")


def test_runs_are_chosen_and_sorted(folder: Path) -> None:
    def names(*options: str) -> list[str]:
        return [Path(entry["run"]).name for entry in seefit("runs", folder, *options, "--json").json["runs"]]

    assert names("--sort", "balanced_accuracy") == ["good", "begun"]  # the one without a figure comes last
    assert names("--sort", "run") == ["begun", "good"]
    assert names("--state", "unfinished") == ["begun"]
    assert sorted(names("--backbone", "LITE")) == ["begun", "good"]
    assert names("--backbone", "resnet") == names("--data", "elsewhere") == []
    assert seefit("runs", folder, "--data", "elsewhere") == Answer(0, f"None of the 2 runs in {folder} is such a one.\n", "")


@pytest.mark.parametrize(("option", "kind"), [("--state", "state"), ("--sort", "order")])
def test_an_unknown_state_or_order_is_named(folder: Path, option: str, kind: str) -> None:
    answer = seefit("runs", folder, option, "finish", "--json")
    assert answer.code == 2
    assert answer.error()["message"] == f"Unknown {kind}: finish. Expected a known {kind}, got 'finish'."


def test_the_list_tells_where_runs_came_from(folder: Path) -> None:
    record_parent(folder / "good", "tune", folder / "search-1")
    assert "tuned by search-1" in seefit("runs", folder).out
    (good,) = seefit("runs", folder, "--state", "finished", "--json").json["runs"]
    assert good["from"] == [{"kind": "tune", "from": str(folder / "search-1")}]


def test_winners_are_listed_where_studies_and_searches_keep_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "runs").mkdir()
    (folder / "good").rename(folder / "runs" / "mine")
    made: list[tuple[str, Maker, str]] = [("studies", "study", "winner"), ("tunes", "tune", "winner-2")]
    for kind, maker, name in made:
        shutil.copytree(folder / "runs" / "mine", folder / kind / "cells" / name)
        record_parent(folder / kind / "cells" / name, maker, folder / kind / "cells")
    listed = seefit("runs", "--json").json["runs"]
    assert {run["run"]: [parent["kind"] for parent in run["from"]] for run in listed} == {
        "runs/mine": [],
        "studies/cells/winner": ["study"],
        "tunes/cells/winner-2": ["tune"],
    }
    assert [run["run"] for run in seefit("runs", "tunes", "--json").json["runs"]] == ["tunes/cells/winner-2"]
    assert "tuned by cells" in seefit("runs").out
    config = folder / "runs" / "mine" / "config.yaml"
    heir = Path("tunes/cells/winner-2").absolute()
    config.write_text(config.read_text().replace("resolved:\n", f"resolved:\n  extended_from: {heir}\n"))
    answer = seefit("runs", "--delete", "tunes/cells/winner-2")
    assert (answer.code, "extended by mine" in answer.err, heir.is_dir()) == (4, True, True)
    assert seefit("runs", "--delete", "studies/cells/winner").code == 0


def test_a_run_that_another_extends_is_kept(folder: Path) -> None:
    config = folder / "begun" / "config.yaml"
    config.write_text(config.read_text().replace("resolved:\n", f"resolved:\n  extended_from: {folder / 'good'}\n"))
    assert "extends good" in seefit("runs", folder).out
    answer = seefit("runs", "--delete", folder / "good")
    assert answer.code == 4
    assert answer.err == (
        f"error: Cannot delete: {folder / 'good'}. Expected a run that no other run extends, got one that is extended by begun.\n"
        "Delete those too, each with its own --delete, or keep this one.\n"
    )
    assert seefit("runs", "--delete", folder / "good", "--delete", folder / "begun").code == 0
