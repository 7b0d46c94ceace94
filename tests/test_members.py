"""Which networks the preset ``best`` trains, and what does not go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seefit.console import Console
from seefit.errors import UsageError
from seefit.members import backbones_here, choose_members, member_settings
from seefit.models import weights
from seefit.settings import Settings, make_settings, read_settings, to_yaml
from tiny import plant_little


def best(**given: Any) -> Settings:
    return make_settings({"data": "d", "preset": "best", **given})


def only(monkeypatch: pytest.MonkeyPatch, *here: str) -> None:
    monkeypatch.setattr(weights, "available", lambda name: name in here)


def test_packaged_backbones_and_own_weights_come_cheapest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backbones_here() == ["lite0", "lite1", "lite2"]
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    name = plant_little(tmp_path)
    assert backbones_here() == ["lite0", "lite1", "lite2", name]
    (tmp_path / "tf_efficientnet_lite0.safetensors").write_bytes(b"")
    assert backbones_here().count("tf_efficientnet_lite0") == 0


def test_all_packaged_networks_that_are_here_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, *weights.PACKAGED)
    chosen = choose_members(best())
    assert chosen.backbones == ["lite0", "lite1", "lite2"]
    assert chosen.image_size == 260  # the largest of their own
    only(monkeypatch, "tf_efficientnet_lite0", "tf_efficientnet_lite1")
    assert choose_members(best()).backbone == "lite0,lite1"


def test_one_network_alone_is_trained_twice_and_that_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    only(monkeypatch, "tf_efficientnet_lite0")
    chosen = choose_members(best(), console=Console())
    assert (chosen.backbones, chosen.image_size) == (["lite0", "lite0"], None)
    assert [member_settings(chosen, number).seed for number in range(2)] == [0, 1]
    told = "Only lite0 is on this computer: it is trained twice, with two seeds; `pip install 'seefit[offline]'` brings more\n"
    assert capsys.readouterr().err == told


def test_networks_and_size_by_hand_stay() -> None:
    chosen = choose_members(best(backbone="lite1, resnet18", image_size=128))
    assert (chosen.backbones, chosen.image_size) == (["lite1", "resnet18"], 128)
    assert choose_members(best(backbone="resnet50,resnet18")).image_size is None  # one size of their own
    assert choose_members(best(backbone="lite2")).backbones == ["lite2"]


def test_config_yaml_names_the_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "tf_efficientnet_lite0", "tf_efficientnet_lite2")
    chosen = choose_members(best(minutes=5))
    (tmp_path / "config.yaml").write_text(to_yaml(chosen, {}))
    only(monkeypatch, *weights.PACKAGED)
    assert choose_members(read_settings(tmp_path / "config.yaml", {})) == chosen


def test_each_network_has_its_own_backbone_and_seed() -> None:
    settings = best(backbone="lite0,lite1", seed=2**32 - 1, epochs=5)
    assert member_settings(settings, 0) == settings.model_copy(update={"backbone": "lite0"})
    assert member_settings(settings, 1) == settings.model_copy(update={"backbone": "lite1", "seed": 0})


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_other_presets_stay_as_they_are(preset: str) -> None:
    settings = make_settings({"data": "d", "preset": preset, "backbone": "net,work.py:build"})
    assert choose_members(settings) is settings
    assert member_settings(settings, 0) is settings
    assert settings.backbones == ["net,work.py:build"]


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (
            {"minutes": 5},
            "--minutes. Expected --preset best, which trains as many networks as fit into them, or --backbone auto, which chooses one "
            "within them, got --preset fast.",
            "Leave --minutes out.",
        ),
        (
            {"backbone": "lite0,lite1"},
            "--backbone. Expected one network, got lite0,lite1.",
            "Name one, or average them with --preset best.",
        ),
        (
            {"preset": "best", "method": "probe"},
            "--method. Expected finetune, which is what --preset best does, got probe.",
            "Leave --method out.",
        ),
        (
            {"preset": "best", "extend": "run"},
            "--extend. Expected a run of one network, got --preset best, which averages several.",
            "Train on old and new images together without --extend.",
        ),
        (
            {"preset": "best", "backbone": "auto"},
            "--backbone. Expected names of networks with --preset best, which averages several, got auto.",
            "Leave --backbone out: then those that are here are averaged.",
        ),
        (
            {"preset": "best", "backbone": "lite0,"},
            "--backbone. Expected names with commas between them, got 'lite0,'.",
            "Try --backbone lite0,lite1.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_members(make_settings({"data": "d", **given}))
    assert caught.value.message == f"Settings that do not go together: {message}"
    assert caught.value.hint == hint


def test_an_unknown_network_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError) as caught:
        choose_members(best(backbone="lite0,resnet19"))
    assert caught.value.message.startswith("Unknown backbone: resnet19.")


@pytest.mark.parametrize("minutes", [0, -1])
def test_minutes_are_more_than_none(minutes: float) -> None:
    with pytest.raises(UsageError, match="--minutes"):
        best(minutes=minutes)
