"""Run every recipe for two epochs on 300 real photographs, and say what was replaced so that it needs no network and little time.

    .venv/bin/python .ci/recipes.py WORK

WORK is a folder for the photographs and the runs. The photographs are solar cells (ELPV), in the layout that each recipe's source had.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import elpv_dataset
import yaml
from PIL import Image

from seefit.data.demo import elpv_table
from seefit.models.weights import available
from seefit.models.zoo import resolve

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
CELLS = Path(elpv_dataset.__file__).parent / "data"
SMALL = {"epochs": 2, "views": 2, "image_size": 64}
PER_CLASS = 150


def photographs() -> dict[str, list[Path]]:
    """Return the first 150 cells of each class."""
    cells = {"defective": [cell for cell in elpv_table() if cell.p > 0.5], "functional": [cell for cell in elpv_table() if cell.p == 0]}
    return {label: [CELLS / cell.name for cell in found[:PER_CLASS]] for label, found in cells.items()}


def folders(root: Path) -> None:
    """Lay the photographs out as one folder per class."""
    for label, paths in photographs().items():
        (root / label).mkdir(parents=True)
        for path in paths:
            shutil.copy(path, root / label)


def given_parts(root: Path) -> None:
    """Lay them out as train/ and validation/, two to one."""
    for label, paths in photographs().items():
        for number, path in enumerate(paths):
            folder = root / ("validation" if number % 3 == 0 else "train") / label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder)


def named(root: Path) -> None:
    """Put them in one folder as JPEG files that carry their class in the name."""
    root.mkdir(parents=True)
    for label, paths in photographs().items():
        for number, path in enumerate(paths, 1):
            with Image.open(path) as image:
                image.save(root / f"{label}_{number}.jpg", quality=95)


LAYOUTS = {"b-cats-dogs": given_parts, "e-pets": named}


def replaced(recipe: dict[str, object]) -> dict[str, object]:
    """Return the settings to give by hand: a few quick ones, and a backbone whose weights are here."""
    changes: dict[str, object] = {name: value for name, value in SMALL.items() if value != recipe.get(name)}
    if recipe["method"] != "scratch" and not available(resolve(str(recipe["backbone"]))):
        changes["backbone"] = "lite0"
    return changes


def run(path: Path, work: Path) -> None:
    """Run one recipe as a user does, and look at what it left."""
    recipe = yaml.safe_load(path.read_text("utf-8"))
    changes = replaced(recipe)
    told = ", ".join(f"{name} {value} in place of {recipe.get(name, 'the usual')}" for name, value in changes.items())
    print(f"{path.name}: {told}{', whose weights need a network' if 'backbone' in changes else ''}", flush=True)
    data, out = work / "photos" / path.stem, work / path.stem
    LAYOUTS.get(path.stem, folders)(data)
    options = [part for name, value in changes.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    started = time.monotonic()
    command: list[str | Path] = [Path(sys.executable).with_name("seefit"), "train", data, "--config", path, *options]
    command += ["--out", out, "--quiet", "--json"]
    test = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["metrics"]["test"]
    epochs = len((out / "history.csv").read_text().splitlines()) - 1
    if epochs != SMALL["epochs"] or not 20 <= test["n"] <= 45:
        sys.exit(f"{path.name}: {epochs} epochs and {test['n']} test images")
    print(f"  accuracy {test['accuracy']['value']:.3f} on {test['n']} test images, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    for recipe_path in sorted(RECIPES.glob("*.yaml")):
        run(recipe_path, Path(sys.argv[1]))
