from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import seefit as seefit_package
from command import seefit
from seefit.cli.cache import FOLDERS, IN_USE, STORES
from seefit.environment import own_folder


@pytest.fixture
def cache(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder with a backbone, findings and features in it."""
    shutil.copytree(trained.parent / "cache", tmp_path / "cache")
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_parts_are_shown_with_their_sizes(cache: Path) -> None:
    answer = seefit("cache", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.json) == {"folder", "features", "parts"}
    assert answer.json["folder"] == str(cache)
    parts = answer.json["parts"]
    assert set(parts) == {"features", "scan", "backbones", "tuned", "weights", "downloads", "matplotlib", "fitted"}
    assert all(parts[name] > 0 for name in ("features", "scan", "backbones"))
    assert {(shelf["backbone"], shelf["image_size"]) for shelf in answer.json["features"]} == {("tf_efficientnet_lite0", 32)}
    assert max(shelf["entries"] for shelf in answer.json["features"]) >= 42  # the training part
    assert all({"engine", "fit", "features", "bytes", "used"} <= set(shelf) for shelf in answer.json["features"])
    shown = seefit("cache").out
    assert shown.startswith(f"{cache}  (SEEFIT_CACHE moves it)\n")
    assert "tf_efficientnet_lite0 at 32 px, " in shown


def test_clearing_empties_it_and_leaves_what_is_not_ours(cache: Path) -> None:
    (cache / "mine.txt").write_text("keep")
    answer = seefit("cache", "--clear", "--json")
    assert answer.code == 0
    assert answer.json["features"] == []
    assert {name: answer.json["parts"][name] for name in FOLDERS} == dict.fromkeys(FOLDERS, 0)
    assert not (cache / "backbones").exists()
    assert (cache / "mine.txt").read_text() == "keep"
    assert seefit("cache", "--clear").code == 0  # also when there is nothing


@pytest.mark.parametrize("part", IN_USE)
def test_what_a_killed_process_left_is_shown_and_cleared(part: str, cache: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (cache / part / f"{process.pid}-x").mkdir(parents=True)
    (cache / part / f"{process.pid}-x" / "model.onnx").write_bytes(bytes(100_000))
    mine = own_folder(part)
    assert seefit("cache", "--json").json["parts"][part] >= 100_000
    assert seefit("cache", "--clear", "--json").json["parts"][part] == 0
    assert list((cache / part).iterdir()) == [mine]  # what is in use keeps its files


def test_every_part_that_the_code_makes_is_shown() -> None:
    source = "".join(path.read_text("utf-8") for path in Path(seefit_package.__file__).parent.rglob("*.py"))
    made = set(re.findall(r"""(?:cache_folder|own_folder)\("(\w+)"\)""", source))
    assert made == {*STORES, *FOLDERS, *IN_USE}


def test_an_empty_cache_is_shown_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "new"))
    answer = seefit("cache", "--json")
    assert answer.json["features"] == []
    assert set(answer.json["parts"].values()) == {0}


def test_a_cache_that_cannot_be_made_is_exit_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "file" / "cache"))
    answer = seefit("cache", "--json")
    assert answer.code == 6
    assert answer.error()["message"].startswith(
        f"Cannot create the cache folder: {tmp_path / 'file' / 'cache'}. Expected a writable place, got "
    )
    assert answer.error()["hint"] == "Set SEEFIT_CACHE to a folder that you may write to."
