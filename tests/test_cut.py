"""Cutting: below and above together are the whole network, the trained weights go back to their places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from seefit.errors import UsageError
from seefit.models.backbone import Backbone, Stage, create, tower
from seefit.models.cut import PIXELS, boundaries, freeze_norms, trained_layers, trained_stages, upper_part, whole_state
from seefit.models.weights import find_weights

SIDE = 96
NETWORKS = {
    "test_efficientnet": "blocks.2",
    "test_resnet": "layer3",
}


@pytest.fixture(autouse=True)
def _weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the little networks of timm's own tests weights by chance: their real ones are on a hub."""
    for name in NETWORKS:
        torch.manual_seed(0)
        save_file(create(name).state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    yield


def described(name: str) -> Backbone:
    """Return what cutting looks at, without a conversion."""
    model: Any = create(name)
    maps = model.forward_intermediates(torch.zeros(1, 3, SIDE, SIDE))[1]
    stages = [Stage(info["module"], m.shape[1], m.shape[2]) for info, m in zip(model.feature_info, maps, strict=True)]
    last = model.forward_features(torch.zeros(1, 3, SIDE, SIDE))
    if last.shape != maps[-1].shape:
        stages.append(Stage("final", last.shape[1], last.shape[2]))
    stages.append(Stage("pooled", last.shape[1], 0))
    return Backbone(name, SIDE, (0.5,) * 3, (0.5,) * 3, tuple(stages), find_weights(name).identity, Path("none.onnx"), "")


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> Backbone:
    return described(request.param)


@pytest.mark.parametrize("whole", NETWORKS, indirect=True)
def test_the_upper_part_goes_on_where_the_lower_part_ends(whole: Backbone) -> None:
    network = tower(whole)
    names = [stage.name for stage in whole.stages]
    with torch.no_grad():
        expected = dict(zip(names, network(torch.randn(2, 3, SIDE, SIDE)), strict=True))
        for boundary in boundaries(whole)[1:]:
            above = names[names.index(boundary) + 1 :]
            part = upper_part(whole, boundary, above).eval()
            for name, output in zip(above, part(expected[boundary]), strict=True):
                torch.testing.assert_close(output, expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("whole", NETWORKS, indirect=True)
def test_from_the_pixels_it_is_the_whole_network(whole: Backbone) -> None:
    part = upper_part(whole, PIXELS, [stage.name for stage in whole.stages])
    assert boundaries(whole)[0] == PIXELS
    own = {name for name, _ in create(whole.name).named_parameters() if not name.startswith(("classifier", "fc"))}
    assert {name.removeprefix("model.") for name, parameter in part.named_parameters() if parameter.requires_grad} == own
    pooled = upper_part(whole, PIXELS, ["pooled"])
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        for found, expected in zip(part(pixels), tower(whole)(pixels), strict=True):
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(pooled(pixels)[0], expected)


@pytest.mark.parametrize("whole", NETWORKS, indirect=True)
def test_only_the_upper_weights_change_in_the_whole_state(whole: Backbone) -> None:
    boundary = NETWORKS[whole.name]
    part = upper_part(whole, boundary, [whole.stages[-1].name])
    before = whole_state(whole, upper_part(whole, boundary, [whole.stages[-1].name]))
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(1)
    after = whole_state(whole, part)
    assert after.keys() == create(whole.name).state_dict().keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name.removeprefix("model.") for name, _ in part.named_parameters()}
    assert changed and len(changed) < len(after)


@pytest.mark.parametrize("whole", NETWORKS, indirect=True)
def test_frozen_norms_keep_their_statistics_and_trained_ones_do_not(whole: Backbone) -> None:
    part = upper_part(whole, NETWORKS[whole.name], ["pooled"])
    stage = whole.stage(NETWORKS[whole.name])
    batch = torch.randn(4, stage.channels, stage.side, stage.side) + 3

    def statistics() -> list[torch.Tensor]:
        return [buffer.clone() for name, buffer in part.named_buffers() if "running" in name]

    before = statistics()
    part.train()
    freeze_norms(part)
    part(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(), strict=True))
    part.train()
    part(batch)
    assert not any(torch.equal(a, b) for a, b in zip(before, statistics(), strict=True))


def test_stages_go_from_low_to_high() -> None:
    whole = described("test_resnet")
    stages = trained_stages(upper_part(whole, PIXELS, ["pooled"]))
    order = [stage[0][0].split(".")[1] for stage in stages]
    layers = [name for name in order if "layer" in name]
    assert layers == sorted(layers) and len(set(layers)) == 4
    assert set(order[: len(order) - len(layers)]) == {"conv1", "bn1"}  # the stem comes first
    trained = [parameter for parameter in upper_part(whole, PIXELS, ["pooled"]).parameters() if parameter.requires_grad]
    assert sum(len(stage) for stage in stages) == len(trained)


def test_a_transformer_with_a_class_token_cannot_be_cut(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(create("test_vit").state_dict(), tmp_path / "test_vit.safetensors")
    side: int = cast(Any, create("test_vit")).pretrained_cfg["input_size"][-1]
    stages = (Stage("blocks.0", 64, side // 16), Stage("blocks.5", 64, side // 16), Stage("pooled", 64, 0))
    with pytest.raises(UsageError) as caught:
        identity = find_weights("test_vit").identity
        upper_part(Backbone("test_vit", side, (0.5,) * 3, (0.5,) * 3, stages, identity, Path("x"), ""), "blocks.0", ["pooled"])
    assert caught.value.message.startswith(
        "The network cannot be cut: test_vit at blocks.0. Expected a network whose upper layers see nothing"
    )
    assert caught.value.hint == "Use --freeze none, which trains the whole network and streams the images."


@pytest.mark.parametrize("whole", NETWORKS, indirect=True)
def test_a_flattened_map_is_the_map(whole: Backbone) -> None:
    last, pixels = boundaries(whole)[-1], torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        plain, flat = (upper_part(whole, PIXELS, [last + ending]).eval()(pixels)[0] for ending in ("", "/flat"))
    torch.testing.assert_close(flat, plain.reshape(2, -1), rtol=0, atol=0)


def test_the_trained_layers_are_told_in_few_words() -> None:
    whole = described("test_efficientnet")
    assert trained_layers(whole, None) == ()
    everything = upper_part(whole, PIXELS, ["pooled"])
    assert trained_layers(whole, everything) == ("conv_stem", "bn1", "blocks", "conv_head", "bn2")
    assert trained_layers(whole, upper_part(whole, "blocks.2", ["pooled"])) == ("blocks.3", "blocks.4", "conv_head", "bn2")
    for name, parameter in everything.named_parameters():
        parameter.requires_grad_(("blocks.4" in name and not name.endswith(".bias")) or "conv_head" in name)
    told = trained_layers(whole, everything)
    assert "conv_head" in told and not {"blocks", "blocks.4"} & set(told)
    places = tuple(f"{name}." for name in told)
    for name, parameter in everything.named_parameters():
        assert f"{name.removeprefix('model.')}.".startswith(places) is parameter.requires_grad, name
