from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from command import seefit
from conftest import read_csv
from seefit.data import demo
from test_train_command import at_home
from tiny import plant_tiny


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch, no_page: None, trained: Path, tmp_path: Path) -> None:
    """Leave every twentieth photograph of the demo set, and work with the tiny backbone."""
    cells = demo.elpv_table()[::20]
    monkeypatch.setattr(demo, "elpv_table", lambda: cells)
    monkeypatch.setenv("SEEFIT_CACHE", str(trained.parent / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("small_demo")
def test_the_demo_trains_on_photographs_and_says_what_to_do_next(tmp_path: Path) -> None:
    answer = seefit("demo")
    assert answer.code == 0, answer.err
    assert answer.err.startswith("Photographs of solar cells, functional or defective (ELPV: Deitsch et al. 2019, CC BY-NC-SA 4.0)\n")
    assert "132 images in 2 classes from demo:elpv\n" in answer.err
    assert "\nTest part: " in answer.out
    assert "  weighted accuracy " in answer.out
    assert answer.out.endswith(
        "\nreport   runs/elpv-lite0-1/report.html\npredict  seefit predict runs/elpv-lite0-1 IMAGES\n"
        "\nNow with your own pictures, one folder per class:\n"
        "  seefit check FOLDER     what is broken, doubled or mislabelled\n"
        "  seefit train FOLDER     a classifier with a report like this one\n"
    )
    rows = read_csv(tmp_path / "runs" / "elpv-lite0-1" / "split.csv")
    sides = {(row["group"], row["split"]) for row in rows}
    assert len(sides) == len({group for group, _ in sides})  # no module stands on two sides


@pytest.mark.usefixtures("small_demo")
def test_the_demo_takes_a_seed_and_a_folder(tmp_path: Path) -> None:
    answer = seefit("demo", "--seed", 5, "--device", "cpu", "--out", tmp_path / "here", "--json", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.json) == {"run", "metrics"}
    assert answer.json["run"] == str(tmp_path / "here")
    config = (tmp_path / "here" / "config.yaml").read_text()
    assert "\nseed: 5\n" in config
    assert "\ndevice: cpu\n" in config


@pytest.mark.slow
def test_the_whole_demo_opens_no_socket_and_leaves_the_home_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing at all, as after the install: the backbone is converted too."""
    home = tmp_path / "home"
    (home / ".cache" / "seefit").mkdir(parents=True)
    answer = at_home(home, "demo", "--json")
    test = answer.json["metrics"]["test"]
    assert answer.json["run"] == "runs/elpv-lite0-1"
    assert sum(sum(part.values()) for part in answer.json["metrics"]["counts"].values()) == 2624
    assert test["accuracy"]["value"] > test["majority_baseline"]["value"] + 0.1


def test_without_its_package_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plant_tiny()
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "elpv_dataset" else find(name, *rest))
    answer = seefit("demo", "--json")
    assert answer.code == 6
    assert "seefit[demo]" in answer.error()["hint"]
    assert list(tmp_path.glob("runs/*")) == []
