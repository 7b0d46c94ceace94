from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import yaml
from PIL import Image

from command import seefit
from conftest import PhotoFolder
from seefit.models.zoo import PUBLISHED, resolve
from seefit.settings import Settings, read_settings
from seefit.training.augment import parse_augmentation
from seefit.training.losses import make_loss
from seefit.training.schedule import make_schedule

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
NAMES = ["a-rubbish", "b-cats-dogs", "c-potholes", "d-cat-breeds", "e-pets"]

each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def content(recipe: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(recipe.read_text("utf-8")))


def test_there_is_one_for_each_source_and_the_readme_gives_its_command() -> None:
    assert [recipe.stem for recipe in RECIPES] == NAMES
    commands = re.findall(r"^seefit train \w+/ --config recipes/(\S+)\.yaml", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert commands == NAMES


@each
def test_a_recipe_is_valid_and_leaves_the_data_to_the_user(recipe: Path) -> None:
    given = content(recipe)
    assert "data" not in given
    assert given.keys() <= Settings.model_fields.keys()  # no other spellings
    assert read_settings(recipe, {"data": "photos", "epochs": 2}).epochs == 2
    assert f"#   seefit train DATA --config recipes/{recipe.name}\n" in recipe.read_text("utf-8")


@each
def test_every_name_in_it_exists(recipe: Path) -> None:
    settings = read_settings(recipe, {"data": "photos"})
    name = resolve(settings.backbone)
    assert name in PUBLISHED if settings.from_scratch else timm.is_model_pretrained(name)
    assert parse_augmentation(settings.augment).parts()
    make_loss(settings.loss)
    make_schedule(settings.schedule, steps_per_epoch=3, epochs=settings.planned_epochs, rate=0.1, **settings.schedule_options)


def test_without_data_a_recipe_asks_for_them() -> None:
    answer = seefit("train", "--config", RECIPES[0], "--json")
    assert (answer.code, answer.error()["message"]) == (2, "A setting is missing: data. Expected a value, got none.")
    assert answer.error()["hint"] == "Name the images: `seefit train DATA --config FILE`."


@pytest.mark.slow
def test_a_recipe_trains_on_data_and_with_settings_given_by_hand(photo_folder: PhotoFolder, tmp_path: Path, no_page: None) -> None:
    recipe, run = ROOT / "recipes" / "c-potholes.yaml", tmp_path / "run"
    options = ["--backbone", "lite0", "--image-size", 32, "--epochs", 2, "--views", 1]
    photos = photo_folder(20)
    answer = seefit("train", photos, "--config", recipe, *options, "--out", run)
    assert answer.code == 0, answer.err
    assert "Head: 128 hidden units that begin by chance" in answer.err
    with open(run / "history.csv", newline="") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["1", "2"]
    saved = content(run / "config.yaml")
    assert {name: saved[name] for name in ("data", "backbone", "epochs", "optimiser", "schedule_options", "dropout")} == {
        "data": str(photos), "backbone": "lite0", "epochs": 2, "optimiser": "momentum", "schedule_options": {"drop": 0.5, "every": 10},
        "dropout": 0.5,
    }  # fmt: skip


# ---- the script with which CI runs all of them ----------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipes_script", ROOT / ".ci" / "recipes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each
def test_ci_replaces_what_needs_a_network_and_nothing_that_makes_the_recipe(recipe: Path, script: ModuleType) -> None:
    changes = script.replaced(content(recipe))
    assert changes.get("backbone") == (None if recipe.stem == "a-rubbish" else "lite0")
    assert changes.keys() <= {"epochs", "views", "image_size", "backbone"}


def test_ci_lays_300_photographs_out_as_each_source_had_them(script: ModuleType, tmp_path: Path) -> None:
    for name, count, pattern in (("c", 300, "*/*.png"), ("b-cats-dogs", 200, "train/*/*.png"), ("e-pets", 300, "*.jpg")):
        script.LAYOUTS.get(name, script.folders)(tmp_path / name)
        assert len(list((tmp_path / name).glob(pattern))) == count
    assert len(list((tmp_path / "b-cats-dogs").glob("validation/*/*.png"))) == 100
    with Image.open(tmp_path / "e-pets" / "defective_150.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (300, 300))
