"""``seefit summary``: by name, for a user's own network, for a run; table, totals, JSON, drawing, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command import seefit
from forged import reseal

OWN = """
from torch import nn

def make(classes=2):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Write a user's network and return its name."""
    (tmp_path / "net.py").write_text(OWN)
    return f"{tmp_path}/net.py:make"


def test_json_is_what_the_contract_says(own: str) -> None:
    answer = seefit("summary", own, "--image-size", 32, "--classes", 3, "--json")
    assert answer.code == 0, answer.err
    assert answer.json == {
        "parameters": 112 + 15,
        "trainable": 112 + 15,
        "flops": 30 * 30 * 4 * 27 + 12,
        "input": [3, 32, 32],
        "layers": [
            {"name": "0", "type": "Conv2d", "output": [4, 30, 30], "parameters": 112},
            {"name": "1", "type": "ReLU", "output": [4, 30, 30], "parameters": 0},
            {"name": "2", "type": "AdaptiveAvgPool2d", "output": [4, 1, 1], "parameters": 0},
            {"name": "3", "type": "Flatten", "output": [4], "parameters": 0},
            {"name": "4", "type": "Linear", "output": [3], "parameters": 15},
        ],
    }


def test_a_long_table_is_folded_and_its_totals_are_whole() -> None:
    lines = seefit("summary", "resnet50").out.splitlines()
    assert lines[0] == "resnet50 at 224 px"
    assert lines[1].split() == ["layer", "type", "output", "parameters", "mult-adds"]
    assert lines[2].split() == ["conv1", "Conv2d", "112", "×", "112", "×", "64", "9,408", "118", "M"]
    assert lines[6].split() == ["layer1.0", "Bottleneck", "56", "×", "56", "×", "256", "75,008", "231", "M"]
    assert lines[26] == "159 layers in 23 rows: --depth 3 shows more, --depth 4 shows all."
    assert lines[28:] == [
        "parameters         25,557,032",
        "  trainable        25,557,032",
        "  frozen           0",
        "multiply-adds      4.09 G in convolutions and linear layers, one image",
        "size: input        0.57 MB",
        "  forward/backward 307.64 MB",
        "  parameters       97.49 MB",
        "  total            405.71 MB",
    ]


def test_the_depth_can_be_chosen() -> None:
    shallow, deep = (seefit("summary", "lenet5", "--depth", depth).out.splitlines() for depth in (1, 2))
    assert [line.split()[0] for line in shallow[2:8]] == ["grey", "c1", "squash1", "s2", "squash2", "c3"]
    assert "c3       TableConv  10 × 10 × 16       1,516      150 k" in shallow
    assert "17 layers in 15 rows: --depth 2 shows all." in shallow
    assert any(line.startswith("c3.threes ") for line in deep)
    assert not any("--depth" in line for line in deep)


def test_a_drawing_is_written(own: str, tmp_path: Path) -> None:
    out = tmp_path / "net.svg"
    answer = seefit("summary", own, "--out", out)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == f"Drawing: {out}"
    assert out.read_text("utf-8").startswith("<?xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.py", "net.svg"]


def test_a_run_has_a_frozen_backbone_and_its_head(trained: Path) -> None:
    answer = seefit("summary", trained, "--json")
    assert answer.code == 0, answer.err
    head = answer.json["layers"][-1]
    width = 2 * (16 + 24) + 1280 if head["parameters"] > 1000 else 2 * (16 + 24)  # mean and maximum of two stages of the real Lite0
    assert head == {"name": "probe", "type": "Linear", "output": [2], "parameters": 2 * width + 2}
    assert answer.json["trainable"] == head["parameters"]
    assert answer.json["input"] == [3, 32, 32]
    assert sum(layer["parameters"] for layer in answer.json["layers"]) == answer.json["parameters"]
    assert "Expected none for a run, got 64." in seefit("summary", trained, "--image-size", 64).err


def test_a_fine_tuned_run_was_frozen_below_its_boundary(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    changes = {"backbone": "tf_efficientnet_lite0", "image_size": 64, "features": ["pooled"], "method": "finetune"}
    reseal(bundle, **changes, trained=["blocks.6", "conv_head", "bn2"], head="logit", hidden=0)
    found = seefit("summary", bundle, "--json").json
    trained = sum(row["parameters"] for row in found["layers"] if row["name"].startswith(("blocks.6.", "conv_head", "bn2", "probe")))
    assert found["trainable"] == trained > 1280 * 320 + 2 * 1280
    assert found["layers"][-1] == {"name": "probe.logit", "type": "Linear", "output": [1], "parameters": 1280 + 1}
    assert found["parameters"] == sum(row["parameters"] for row in found["layers"])
    reseal(bundle, **changes, trained=None)  # an earlier version did not say it
    assert seefit("summary", bundle, "--json").json["trainable"] == found["parameters"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["resnet5O"], 2, "Unknown backbone: resnet5O. Expected a known backbone, got 'resnet5O'."),
        (["net.py:make"], 2, "Cannot use the network: net.py:make. Expected a Python file net.py, got nothing there."),
        (["lite0", "--out", "x.png"], 2, "Unknown file type: x.png. Expected .svg, got '.png'."),
        (["lite0", "--image-size", "8"], 2, "Bad image size: --image-size. Expected 32 to 2048 pixels, got 8."),
        (["lite0", "--depth", "0"], 2, "Cannot read the command line: seefit summary."),
        (["torchvision/vit_b_16", "--image-size", "64"], 2, "Cannot run the network: torchvision/vit_b_16. Expected a network that takes "),
    ],
)
def test_what_cannot_be_shown_is_told(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = seefit("summary", *arguments, "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: photos\n")
    answer = seefit("summary", tmp_path, "--json")
    assert (answer.code, answer.error()["message"]) == (
        5, f"Cannot load the model: {tmp_path}. Expected a run, bundle or export, got an unfinished run.",
    )  # fmt: skip
