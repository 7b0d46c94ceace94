"""``seefit models``."""

from __future__ import annotations

import json

import pytest

from seefit.cli.models import models
from seefit.errors import UsageError
from seefit.models.zoo import ZOO


def test_the_table_shows_every_model_with_its_figures_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert models() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "name"
    shown = [line.split()[0] for line in lines[1 : len(ZOO) + 1]]
    assert shown == [model.name for model in ZOO]
    lite0 = lines[1].split()
    assert lite0 == ["lite0", "4.7", "M", "0.39", "G", "50", "224", "px", "75.1", "-", "[1]", "Apache-2.0", "yes"]
    assert "[1] EfficientNet-lite README, table of checkpoints, FP32 accuracy" in lines
    assert any(line.startswith("    https://github.com/huggingface/") for line in lines)


def test_a_model_without_published_figures_has_no_source(capsys: pytest.CaptureFixture[str]) -> None:
    models(filter="resnetv2_152")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-5:] == ["-", "-", "-", "Apache-2.0", "no"]
    assert not any(line.startswith("[1]") for line in lines)


def test_a_net_to_be_trained_from_scratch_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    models(filter="lenet5")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["lenet5", "0.1", "M", "0.33", "M", "5", "32", "px", "-", "-", "-", "Apache-2.0", "scratch"]
    assert "train it with --method scratch" in " ".join(lines)


def test_json_is_one_object_and_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    assert models(filter="lite0", json_output=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["others"] == []
    (row,) = answer["models"]
    assert row["source"]["url"].startswith("https://github.com/tensorflow/tpu/")
    del row["source"]
    assert row == {
        "name": "lite0",
        "backbone": "tf_efficientnet_lite0",
        "aliases": ["efficientnet_lite0"],
        "parameters": 4_652_008,
        "multiply_adds": 385_187_552,
        "depth": 50,
        "input_px": 224,
        "top1": 75.1,
        "top5": None,
        "licence": "Apache-2.0",
        "weights_here": True,
    }


def test_a_pattern_outside_the_table_is_looked_up_in_timm(capsys: pytest.CaptureFixture[str]) -> None:
    assert models(filter="regnety_0*") == 0
    out, err = capsys.readouterr()
    assert "regnety_032" in out.splitlines()
    assert err == "These are not in the table of `seefit models`; each can be given as --backbone.\n"
    models(filter="regnety_032", json_output=True)
    assert json.loads(capsys.readouterr().out) == {"models": [], "others": ["regnety_032"]}


def test_an_unknown_name_gets_the_closest_match() -> None:
    with pytest.raises(UsageError) as caught:
        models(filter="resnet5O")
    assert caught.value.message == "Unknown model: resnet5O. Expected a known model, got 'resnet5O'."
    assert caught.value.hint.startswith("Did you mean 'resnet50'? Choose one of: ")
