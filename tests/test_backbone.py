"""Backbones: the ONNX file answers as timm's model does, is kept and checked, and names or sizes that cannot be are told apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from conftest import converting
from seefit.bundle.runtime import open_session
from seefit.errors import ArtefactError, ResourceError, UsageError
from seefit.files import sha256_file
from seefit.models import backbone as module
from seefit.models.backbone import Backbone, Stage, check_backbone, create, load_backbone, tower
from seefit.models.weights import find_weights
from tiny import plant_tiny

if TYPE_CHECKING:
    import torch

VIT = "test_vit"  # a real transformer of timm's, of 0.4 million parameters


def put_random_weights(name: str, folder: Path) -> None:
    """Write the random weights of a timm model where ``SEEFIT_WEIGHTS`` looks for them."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    state = timm.create_model(name, pretrained=False).state_dict()
    save_file({key: tensor.contiguous().clone() for key, tensor in state.items()}, folder / f"{name}.safetensors")


def convert(name: str, size: int | None, folder: Path) -> Backbone:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(folder))
        patch.setenv("SEEFIT_WEIGHTS", str(folder))
        put_random_weights(name, folder)
        return load_backbone(name, size)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Backbone:
    """Return the transformer at 48 instead of its own 160 px, converted once."""
    folder = tmp_path_factory.mktemp("vit")
    with converting("vit", folder, pytestconfig.cache):
        return convert(VIT, 48, folder)


def agree(backbone: Backbone, model: torch.nn.Module, counts: tuple[int, ...] = (1, 3)) -> dict[str, Any]:
    """Compare every output with torch's, for batches of several sizes; return torch's by name."""
    import torch

    session = open_session(backbone.onnx.read_bytes(), intra_threads=1)
    for count in counts:
        pixels = np.random.default_rng(count).normal(size=(count, 3, backbone.image_size, backbone.image_size)).astype(np.float32)
        found = session.run(None, {"pixels": pixels})
        with torch.inference_mode():
            expected = [output.numpy() for output in model(torch.from_numpy(pixels))]
        assert len(found) == len(backbone.stages)
        for ours, theirs, stage in zip(found, expected, backbone.stages, strict=True):
            shape = (count, stage.channels, stage.side, stage.side) if stage.side else (count, stage.channels)
            assert ours.shape == shape, stage
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * max(1, np.abs(theirs).max()), err_msg=stage.name)
    names = [output.name for output in session.get_outputs()]
    assert names == [stage.name for stage in backbone.stages]
    return dict(zip(names, expected, strict=True)) | {"pixels": pixels}


def test_lite0_as_it_is_kept(lite0: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(lite0))
    backbone = load_backbone("lite0")
    assert (backbone.name, backbone.image_size) == ("tf_efficientnet_lite0", 224)
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)
    assert backbone.weights == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert backbone.sha256 == sha256_file(backbone.onnx)
    assert backbone.stages == (
        Stage("blocks.0", 16, 112),
        Stage("blocks.1", 24, 56),
        Stage("blocks.2", 40, 28),
        Stage("blocks.4", 112, 14),
        Stage("blocks.6", 320, 7),
        Stage("final", 1280, 7),
        Stage("pooled", 1280, 0),
    )
    assert load_backbone("efficientnet_lite0") == load_backbone("tf_efficientnet_lite0") == backbone


def test_lite0_answers_as_torch_does(lite0: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("SEEFIT_CACHE", str(lite0))
    whole: Any = tower(load_backbone("lite0"))
    outputs, model = agree(load_backbone("lite0"), whole, counts=(2,)), whole.model
    with torch.inference_mode():
        last = model.forward_features(torch.from_numpy(outputs["pixels"]))
        np.testing.assert_allclose(outputs["final"], last, rtol=0, atol=1e-4)
        np.testing.assert_allclose(outputs["pooled"], model.forward_head(last, pre_logits=True), rtol=0, atol=1e-4)


def test_a_kept_backbone_needs_neither_torch_nor_timm(lite0: Path) -> None:
    code = (
        "import sys; from seefit.models.backbone import load_backbone; load_backbone('lite0'); print({'torch', 'timm'} & set(sys.modules))"
    )
    environment = {"SEEFIT_CACHE": str(lite0), "HOME": str(lite0)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert done.stderr == ""


def test_nothing_of_this_machine_is_in_the_file(lite0: Path, vit: Backbone) -> None:
    for file in (*(lite0 / "backbones").glob("*.onnx"), vit.onnx):
        data = file.read_bytes()
        for trace in (b"site-packages", b"backbone.py", b"seefit", str(Path(module.__file__).parent).encode()):
            assert trace not in data


def test_a_transformer_gives_the_maps_of_its_patches_and_its_token(vit: Backbone) -> None:
    assert vit.image_size == 48
    assert vit.stages == (*(Stage(f"blocks.{i}", 64, 3) for i in range(6)), Stage("pooled", 64, 0))


def test_a_transformer_answers_as_torch_does(vit: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("SEEFIT_WEIGHTS", str(vit.onnx.parent.parent))
    outputs = agree(vit, tower(vit))
    model: Any = create(VIT, find_weights(VIT), image_size=48)
    with torch.inference_mode():
        last = model.forward_features(torch.from_numpy(outputs["pixels"]))
        np.testing.assert_allclose(outputs["pooled"], model.forward_head(last, pre_logits=True), rtol=0, atol=1e-4)


def test_the_positions_of_a_transformer_are_fitted_to_the_size(vit: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from timm.layers import resample_abs_pos_embed

    monkeypatch.setenv("SEEFIT_WEIGHTS", str(vit.onnx.parent.parent))
    own: Any = create(VIT, find_weights(VIT))
    fitted: Any = create(VIT, find_weights(VIT), image_size=48)
    assert own.pos_embed.shape == (1, 101, 64)
    expected = resample_abs_pos_embed(own.pos_embed, [3, 3], num_prefix_tokens=1)
    torch.testing.assert_close(fitted.pos_embed.detach(), expected.detach())
    torch.testing.assert_close(fitted.blocks[3].mlp.fc1.weight, own.blocks[3].mlp.fc1.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (
            "test_resnet",
            [("act1", 32, 32), ("layer1", 32, 16), ("layer2", 48, 8), ("layer3", 192, 4), ("layer4", 96, 2), ("pooled", 96, 0)],
        ),
        # Channels last inside, and an own pooling that is wider than the last map.
        ("test_mambaout", [("stages.0", 16, 16), ("stages.1", 32, 8), ("stages.2", 48, 4), ("stages.3", 64, 2), ("pooled", 256, 0)]),
        (
            "swin_tiny_patch4_window7_224",
            [("layers.0", 96, 16), ("layers.1", 192, 8), ("layers.2", 384, 4), ("layers.3", 768, 2), ("final", 768, 2), ("pooled", 768, 0)],
        ),
    ],
)
def test_networks_of_other_kinds(name: str, stages: list[tuple[str, int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = convert(name, 64, tmp_path)
    assert backbone.stages == tuple(Stage(*stage) for stage in stages)
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    agree(backbone, tower(backbone))


@pytest.mark.slow
def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    assert convert("test_resnet", 64, tmp_path / "a").sha256 == convert("test_resnet", 64, tmp_path / "b").sha256


def damage_network(backbone: Backbone) -> None:
    data = bytearray(backbone.onnx.read_bytes())
    data[-7] ^= 1
    backbone.onnx.write_bytes(data)


def damage_description(backbone: Backbone) -> None:
    backbone.onnx.with_suffix(".json").write_text('{"name": "tf_eff')


def damage_stages(backbone: Backbone) -> None:
    description = backbone.onnx.with_suffix(".json")
    description.write_text(description.read_text().replace('"side"', '"edge"'))


def remove_network(backbone: Backbone) -> None:
    backbone.onnx.unlink()


@pytest.mark.parametrize("damage", [damage_network, damage_description, damage_stages, remove_network])
def test_a_damaged_backbone_is_converted_again(damage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = plant_tiny()
    converted: list[Path] = []

    def convert_again(name: str, image_size: int | None, weights: object, target: Path, make: object) -> Backbone:
        converted.append(target)
        return plant_tiny()

    monkeypatch.setattr(module, "_convert", convert_again)
    assert load_backbone("lite0") == backbone
    assert converted == []
    damage(backbone)
    assert load_backbone("lite0") == backbone
    assert converted == [backbone.onnx]
    assert load_backbone("lite0") == backbone
    assert len(converted) == 1


def test_another_size_or_other_weights_are_another_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, larger = plant_tiny(), plant_tiny(image_size=288)
    put = tmp_path / "tf_efficientnet_lite0.safetensors"
    put.write_bytes(b"my own")
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    own = plant_tiny()
    assert len({first.onnx, larger.onnx, own.onnx}) == 3
    assert own.weights == sha256_file(put)


def test_a_backbone_that_was_kept_needs_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = plant_tiny("resnet18")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    check_backbone("resnet-18")
    assert load_backbone("resnet-18") == backbone


def test_an_unknown_name_gets_the_closest() -> None:
    for look in (load_backbone, check_backbone):
        with pytest.raises(UsageError) as caught:
            look("resnet51")
        assert caught.value.message == "Unknown backbone: resnet51. Expected a known backbone, got 'resnet51'."
        assert caught.value.hint.startswith("Did you mean 'resnet")
        assert "lite0, lite1, lite2" in caught.value.hint


def test_an_unknown_set_of_weights_gets_those_that_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        check_backbone("resnet10t.c3_in1")
    assert caught.value.hint == "Did you mean 'resnet10t.c3_in1k'? Choose one of: resnet10t, resnet10t.c3_in1k."


def test_an_unknown_name_comes_before_missing_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=r"Unknown backbone: resnet51"):
        load_backbone("resnet51")
    with pytest.raises(ResourceError, match="No pretrained weights: resnet10t"):
        load_backbone("resnet10t")
    with pytest.raises(ResourceError, match="none here, and timm has none either"):
        check_backbone("resnetv2_152")


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("bad gateway"), ValueError("not found")])
def test_a_hub_that_breaks_off_is_exit_6(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import timm

    def break_off(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(module, "check_available", lambda *_, **__: None)
    monkeypatch.setattr(timm, "create_model", break_off)
    with pytest.raises(ResourceError) as caught:
        load_backbone("resnet10t")
    assert f"got none here, and the hub did not answer ({type(error).__name__})." in caught.value.message
    assert "resnet10t.safetensors" in caught.value.hint


@pytest.mark.parametrize("size", [0, -224, 31, 2049])
def test_a_size_out_of_bounds_is_refused_before_any_work(size: int) -> None:
    for look in (load_backbone, check_backbone):
        with pytest.raises(UsageError) as caught:
            look("lite0", size)
        assert caught.value.message == f"Bad image size: --image-size. Expected 32 to 2048 pixels, got {size}."


def test_a_size_that_the_network_cannot_take_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    put_random_weights(VIT, tmp_path)
    with pytest.raises(UsageError) as caught:
        load_backbone(VIT, 100)
    assert caught.value.message == (
        "Cannot use the backbone: test_vit. Expected a size that it can take, not 100 pixels, "
        "got AssertionError (Input height (100) should be divisible by patch size (16).)."
    )
    assert caught.value.hint == "Leave out --image-size to use the backbone's own."
    assert list((tmp_path / "backbones").glob("*")) == []


def test_weights_of_another_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    put_random_weights("test_resnet", tmp_path)
    (tmp_path / "test_resnet.safetensors").rename(tmp_path / f"{VIT}.safetensors")
    with pytest.raises(ArtefactError, match="Expected the 80 tensors of timm's test_vit, got 80 missing or of another shape"):
        load_backbone(VIT)


def test_a_stage_is_found_by_its_name(tiny_backbone: Backbone) -> None:
    assert tiny_backbone.stage("blocks.1") == Stage("blocks.1", 8, 4)
    with pytest.raises(UsageError) as caught:
        tiny_backbone.stage("blocks.9")
    assert caught.value.message.startswith("Unknown stage of tiny: blocks.9.")
