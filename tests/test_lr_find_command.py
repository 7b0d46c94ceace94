"""``seefit lr-find`` and ``--lr auto`` on real photographs, with a tiny backbone whose head is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from broken_off import broken_off
from command import Answer, seefit
from conftest import Train, read_csv
from seefit import plans
from seefit.cli.lr_find import draw_curve
from seefit.pipeline import resume
from seefit.training import lr_find
from seefit.training.lr_find import STEPS, Curve, suggest
from test_lr_find import FALLS, RATES, made

HEAD = ["--freeze", "all", "--views", 2, "--batch", 8, "--precision", "fp32"]
SETTINGS = {"method": "finetune", "freeze": "all", "views": 2, "batch": 8, "precision": "fp32", "epochs": 2}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder and work in it."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def find(warm: Path, *arguments: object) -> Answer:
    return seefit("lr-find", warm, *HEAD, *arguments)


def test_it_says_a_rate_and_draws_the_curve(warm: Path, empty: Path) -> None:
    answer = find(warm, "--json", "--out", "curve.png")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {"lr", "rate", "kind", "why", "diverged_at", "curve", "out"}
    assert found["out"] == "curve.png"
    assert float(found["lr"]) == found["rate"]  # the head alone is trained
    curve = found["curve"]
    assert set(curve) == {"rate", "loss", "smoothed"}
    assert len(curve["rate"]) == len(curve["loss"]) == len(curve["smoothed"]) <= STEPS
    np.testing.assert_allclose(curve["rate"], 2 * RATES[: len(curve["rate"])])
    assert found["diverged_at"] == (curve["rate"][-1] if len(curve["rate"]) < STEPS else found["diverged_at"])
    with Image.open("curve.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1120, 660))
    assert [path.name for path in empty.iterdir()] == ["curve.png"]


def test_the_table_ends_in_the_suggestion(warm: Path, empty: Path) -> None:
    answer = find(warm, "--out", "curve.svg")
    assert answer.code == 0, answer.err
    found = find(warm, "--json", "--quiet")
    lines = answer.out.splitlines()
    assert lines[0] == "rate of the head      loss  smoothed"
    assert lines[1].split()[0] == "2.0e-07"
    assert lines[-3:] == [f"suggestion  --lr {found.json['lr']}", f"            {found.json['why']}", "picture     curve.svg"]
    assert 3 < len(lines) <= 1 + 14 + 4
    assert "Looking for a learning rate: at most 100 steps at rising rates, about 0.1 min" in answer.err.splitlines()
    assert found.err == ""
    svg = Path("curve.svg").read_text()
    assert svg.startswith("<?xml")
    assert f">suggested {found.json['rate']:g}<" in svg


def test_the_sweep_sees_training_images_alone(warm: Path, trained: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def watched(network: object, plan: object, training: object, **_: object) -> Curve:
        seen.extend(sample.name for sample in training._activations.samples)  # type: ignore[attr-defined]
        return made(FALLS)

    monkeypatch.setattr(lr_find, "sweep", watched)
    assert find(warm).code == 0
    rows = read_csv(trained / "split.csv")
    assert sorted(seen) == sorted(row["path"] for row in rows if row["split"] == "train")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "curve.pdf"], 2, "Unknown file type: curve.pdf. Expected .png or .svg, got '.pdf'."),
        (["--out", "."], 2, "Unknown file type: .. Expected .png or .svg, got ''."),
        (
            ["--out", "no/curve.png"],
            6,
            "Cannot write: no/curve.png. ",
        ),
        (["--optimiser", "adma"], 2, "Bad setting: --optimiser. Expected 'sgd', 'momentum', 'adagrad', 'rmsprop', 'adam' or 'adamw', got "),
        (["--freeze", "blocks.9"], 2, "Unknown stage of tf_efficientnet_lite0 to freeze up to: blocks.9. "),
        (["--loss", "grief"], 2, "Unknown loss: grief. "),
        (["--max-pixels", "100"], 3, "Too many images cannot be used: "),
        (["--backbone", "lite9"], 2, "Unknown backbone: lite9. "),
    ],
)
def test_what_cannot_be_done_says_why(arguments: list[str], code: int, message: str, warm: Path, empty: Path) -> None:
    answer = find(warm, *arguments, "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message)
    assert list(empty.iterdir()) == []


def test_a_picture_takes_no_ones_place(warm: Path, empty: Path) -> None:
    (empty / "mine.png").write_text("mine")
    answer = find(warm, "--out", "mine.png")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        "error: The picture would take the place of something: mine.png. Expected a name that is free, got a file of 4 bytes.",
        "Name another file with --out.",
    ]
    assert (empty / "mine.png").read_text() == "mine"


def test_the_picture_shows_the_valley_and_not_how_far_the_loss_shoots_up() -> None:
    losses = np.append(FALLS[:90], [1e6, np.nan])
    curve = Curve(1e-3, RATES[:92], losses, True)
    figure = draw_curve(curve, suggest(curve))
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    low, high = axes.get_ylim()
    assert low < 0.5 < 2.3 < high < 6
    assert [text.get_text() for text in axes.texts] == [f"suggested {suggest(curve).rate:g}", "diverged"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1e-07", "1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1"]
    calm = draw_curve(made(FALLS), suggest(made(FALLS)))
    assert [text.get_text() for text in calm.axes[0].texts] == [f"suggested {suggest(made(FALLS)).rate:g}"]


def test_training_takes_the_rate_that_was_found_and_keeps_it_when_broken_off(
    warm: Path, tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = find(warm, "--json", "--quiet").json["lr"]
    whole = train_here(lr="auto", out="whole", **SETTINGS)
    config = yaml.safe_load((whole.path / "config.yaml").read_text())
    assert (config["lr"], config["resolved"]["lr"]) == ("auto", said)

    def never(*_: object, **__: object) -> Curve:
        raise AssertionError("the rate was found before")

    with broken_off(after=1):
        train_here(lr="auto", out="broken", **SETTINGS)
    monkeypatch.setattr(plans, "sweep", never)
    again = resume(tmp_path / "broken")
    for name in ("predictions.csv", "split.csv", "config.yaml"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.slow
def test_a_network_from_random_weights_has_a_rate_too(warm: Path, empty: Path) -> None:
    layers = "nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, 2)"
    Path("net.py").write_text(f"from torch import nn\n\n\ndef make():\n    return nn.Sequential({layers})\n")
    options = ["--method", "scratch", "--backbone", "net.py:make", "--image-size", 32, "--batch", 8, "--precision", "fp32"]
    answer = seefit("lr-find", warm, *options, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert float(found["lr"]) == found["rate"]  # one rate for all depths
    assert found["kind"] == "fall"


def test_a_probe_has_no_rate(warm: Path, empty: Path) -> None:
    error = find(warm, "--method", "probe", "--json").error()
    assert error["message"] == "A probe has no learning rate: --method. Expected finetune or scratch, got probe."
    assert error["hint"] == "Leave out --method, or use --method scratch."
