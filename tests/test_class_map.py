"""The class map adds up to the logit, place by place, from the definition; and is left out where the head is no sum over places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.averaging import Member, View, average_heads, average_networks
from seefit.bundle.bundle import load, save_bundle
from seefit.bundle.class_map import MAP, add_class_map, area_weights, find_pooled, has_class_map, without_class_map
from seefit.bundle.graph import feature_size, features_model, features_part, graph_hash, hidden_model, merge, network_model, split
from seefit.bundle.runtime import open_session
from seefit.models.architecture import FLAT
from seefit.models.backbone import Backbone, load_backbone
from tiny import MEAN, SIDE, make_backbone, make_parts

if TYPE_CHECKING:
    from onnx import ModelProto

Float = NDArray[np.float32]
ADDS_UP = 1e-4


@pytest.fixture
def batch() -> Float:
    return np.random.default_rng(0).normal(size=(5, 3, SIDE, SIDE)).astype(np.float32)


def with_map(features: ModelProto, width: int, classes: int = 3, seed: int = 1) -> ModelProto:
    """Return a network with a random head and, where there can be one, its map."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(classes, width)).astype(np.float32), rng.normal(size=classes).astype(np.float32)
    network = network_model(features, weight, bias, 1.7)
    add_class_map(network)
    return network


def run(network: ModelProto, pixels: Float, outputs: list[str], **inputs: Any) -> list[Float]:
    found: list[Float] = open_session(network, intra_threads=1).run(outputs, {"pixels": pixels, **inputs})
    return found


def check_sum(network: ModelProto, pixels: Float) -> None:
    """Check that the map and the bias add up for every class, for the predicted one, and for one per image."""
    every = run(network, pixels, ["map", "map_bias", "logits"])
    logits, rows = every[2], np.arange(len(pixels))
    asked = [None, *(np.array([number]) for number in range(logits.shape[1])), rows % logits.shape[1]]
    for number in asked:
        maps, biases = run(network, pixels, ["map", "map_bias"], **({} if number is None else {"explain_class": number}))
        wanted = logits[rows, logits.argmax(1) if number is None else np.broadcast_to(number, len(rows))]
        assert np.abs(maps.sum((1, 2)) + biases - wanted).max() < ADDS_UP
        assert np.isfinite(maps).all()


@pytest.mark.parametrize("parts", [("blocks.0", "blocks.1"), ("blocks.1",), ("pooled",), ("blocks.0", "pooled")])
def test_map_and_bias_add_up_to_the_logit(tiny_backbone: Backbone, batch: Float, parts: tuple[str, ...]) -> None:
    network = with_map(features_model(tiny_backbone, parts), feature_size(tiny_backbone, parts))
    check_sum(network, batch)


def test_every_place_has_what_the_definition_says(tiny_backbone: Backbone, batch: Float) -> None:
    """Means everywhere, maxima where they are, the coarse map in squares of four."""
    parts = ("blocks.0", "blocks.1")
    network = with_map(features_model(tiny_backbone, parts), feature_size(tiny_backbone, parts))
    low, high = run_maps(tiny_backbone, batch)
    weight = _weight(network)
    expected = np.zeros((5, 8, 8))
    for image in range(5):
        for maps, start in ((low, 0), (high, 8)):
            channels, side = maps.shape[1:3]
            for c in range(channels):
                values = maps[image, c].astype(np.float64)
                there = values == values.max()
                each = weight[2, start + c] * values / side**2 + weight[2, start + channels + c] * values.max() * there / there.sum()
                expected[image] += np.kron(each, np.ones((8 // side, 8 // side))) / (8 // side) ** 2
    (found,) = run(network, batch, [MAP], explain_class=np.array([2]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def run_maps(backbone: Backbone, pixels: Float) -> tuple[Float, Float]:
    low, high = open_session(backbone.onnx.read_bytes(), intra_threads=1).run(["blocks.0", "blocks.1"], {"pixels": pixels})
    return low, high


def _weight(network: ModelProto) -> Float:
    from onnx import numpy_helper

    return np.asarray(next(numpy_helper.to_array(t) for t in network.graph.initializer if t.name == "head/weight"), np.float32)


def test_places_that_share_a_maximum_share_its_part(tiny_backbone: Backbone) -> None:
    """A picture of one colour: every place of the first map is the largest one."""
    network = with_map(features_model(tiny_backbone, ("blocks.0",)), 8)
    (found,) = run(network, np.ones((1, 3, SIDE, SIDE), np.float32), [MAP])
    assert np.ptp(found) < 1e-6
    assert abs(found).max() > 0


@pytest.mark.parametrize(("cells", "grid"), [(7, 28), (5, 8), (7, 56), (3, 7), (6, 6), (1, 9)])
def test_areas_are_spread_whole(cells: int, grid: int) -> None:
    weights = area_weights(cells, grid)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(weights.sum(1), cells / grid, atol=1e-6)
    assert (weights >= 0).all()
    assert ((weights > 1e-6).sum(0) <= -(-grid // cells) + 1).all(), "neighbours only"


@pytest.mark.parametrize("parts", [("blocks.1" + FLAT,), ("blocks.0", "blocks.1" + FLAT)], ids=["flat", "one of them flat"])
def test_flattened_maps_have_no_class_map(tiny_backbone: Backbone, parts: tuple[str, ...]) -> None:
    network = with_map(features_model(tiny_backbone, parts), feature_size(tiny_backbone, parts))
    assert not has_class_map(network)
    assert [value.name for value in network.graph.input] == ["pixels"]


def test_a_hidden_layer_has_no_class_map(tiny_backbone: Backbone) -> None:
    parts = ("blocks.1",)
    wide = np.ones((6, feature_size(tiny_backbone, parts)), np.float32)
    network = with_map(hidden_model(features_model(tiny_backbone, parts), wide, np.zeros(6, np.float32)), 6)
    assert not has_class_map(network)
    assert find_pooled(network) == ([], [])


POOLINGS = {  # what networks do behind their last map, and whether that is a mean or a maximum over its places
    "GlobalAveragePool, Flatten": ("mean = GlobalAveragePool(last)\n pooled = Flatten(mean)", True),
    "GlobalMaxPool, Flatten": ("mean = GlobalMaxPool(last)\n pooled = Flatten(mean)", True),
    "ReduceMean, Reshape": ("mean = ReduceMean<keepdims = 1>(last, back)\n pooled = Reshape(mean, two)", True),
    "ReduceMean, Squeeze": ("mean = ReduceMean<keepdims = 1>(last, back)\n pooled = Squeeze(mean, places)", True),
    "ReduceMean": ("pooled = ReduceMean<keepdims = 0>(last, places)", True),
    "channels last": ("turned = Transpose<perm = [0, 2, 3, 1]>(last)\n pooled = ReduceMean<keepdims = 0>(turned, first)", True),
    "then a ReLU": ("mean = GlobalAveragePool(last)\n flat = Flatten(mean)\n pooled = Relu(flat)", False),
    "then a norm": ("mean = GlobalAveragePool(last)\n flat = Flatten(mean)\n pooled = LpNormalization(flat)", False),
    "one place": ("corner = Slice(last, from, to, places)\n pooled = Flatten(corner)", False),
    "over rows": ("row = ReduceMean<keepdims = 0>(last, three)\n pooled = Flatten(row)", False),
    "tokens": ("tokens = Reshape(last, as_tokens)\n pooled = ReduceMean<keepdims = 0>(tokens, three)", False),
}


def backbone_with(pooling: str, folder: Path) -> Backbone:
    """Return the tiny backbone with another way to its pooled output."""
    from onnx import numpy_helper, parser

    model = parser.parse_model(f"""
    <ir_version: 10, opset_import: ["" : 20]>
    network (float[N, 3, {SIDE}, {SIDE}] pixels) => (float[N, D] pooled) {{
      low = Conv<strides = [4, 4]>(pixels, weight)
      last = Relu(low)
      {pooling}
    }}""")
    rng = np.random.default_rng(0)
    constants = {"weight": rng.normal(size=(4, 3, 4, 4)).astype(np.float32), "places": [2, 3], "back": [-1, -2], "first": [1, 2]}
    constants |= {"two": [-1, 4], "three": [3], "from": [0, 0], "to": [1, 1], "as_tokens": [0, 4, 8, 8]}
    used = {name for node in model.graph.node for name in node.input}
    for name, value in constants.items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    backbone = make_backbone(folder / "tiny.onnx")
    backbone.onnx.write_bytes(model.SerializeToString())
    return backbone


@pytest.mark.parametrize(("pooling", "linear"), POOLINGS.values(), ids=POOLINGS)
def test_what_a_backbone_pools_itself_counts_where_it_is_linear_over_places(
    tmp_path: Path, batch: Float, pooling: str, linear: bool
) -> None:
    features = features_model(backbone_with(pooling, tmp_path), ("pooled",))
    (example,) = open_session(features, intra_threads=1).run(["features"], {"pixels": batch})
    features.graph.output[0].type.tensor_type.shape.dim[1].dim_value = example.shape[1]
    network = with_map(features, example.shape[1])
    assert has_class_map(network) is linear
    if linear:
        check_sum(network, batch)


@pytest.mark.parametrize("views", [[()], [(), (3,)], [(), (3,), (2,), (2, 3)]])
def test_averaged_networks_have_a_map_over_all_their_views(tmp_path: Path, batch: Float, views: list[View]) -> None:
    members = []
    for number, parts in enumerate([("blocks.0", "blocks.1"), ("pooled",)]):
        backbone = make_backbone(tmp_path / f"{number}.onnx", seed=number)
        rng = np.random.default_rng(number)
        weight = rng.normal(size=(3, feature_size(backbone, parts))).astype(np.float32)
        members.append(Member(features_model(backbone, parts), MEAN, (0.5, 0.4, 0.5 + number / 10), weight, np.ones(3, np.float32)))
    weight, bias = average_heads(members)
    merged = average_networks(members, views)
    merged.graph.node[-1].output[:] = ["features"]  # as `features_model` hands it on
    merged.graph.output[0].name = "features"
    network = network_model(merged, weight, bias, 1.0)
    assert add_class_map(network) == 8
    check_sum(network, batch)
    if len(views) == 4:  # what the networks see of a mirrored picture is the same in another order: its map is the mirrored one
        (upright,), (mirrored,) = (run(network, pixels, [MAP], explain_class=np.array([1])) for pixels in (batch, batch[..., ::-1].copy()))
        np.testing.assert_allclose(mirrored[..., ::-1], upright, atol=1e-5)


def test_the_merged_graph_keeps_the_map_and_its_input(tiny_backbone: Backbone) -> None:
    parts = make_parts(tiny_backbone)
    network = with_map(parts.features, parts.weight.shape[1], classes=2)
    merged = merge(parts.preprocess, network)
    assert [value.name for value in merged.graph.input] == ["image", "explain_class"]
    _, again = split(merged)
    assert [value.name for value in again.graph.input] == ["pixels", "explain_class"]
    assert graph_hash(features_part(again)) == graph_hash(features_part(network)), "kept features stay what they are"
    session = open_session(merged, intra_threads=1)
    assert [value.name for value in session.get_inputs()] == ["image"], "a client that knows nothing of the map gives a picture alone"
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 50, 3)).astype(np.uint8)
    maps, bias, logits = session.run(["map", "map_bias", "logits"], {"image": image, "explain_class": np.array([0])})
    assert abs(maps.sum() + bias[0] - logits[0, 0]) < ADDS_UP


def test_without_its_map_a_network_is_what_it_was(tiny_backbone: Backbone) -> None:
    parts = make_parts(tiny_backbone)
    plain = network_model(parts.features, parts.weight, parts.bias, parts.temperature)
    network = network_model(parts.features, parts.weight, parts.bias, parts.temperature)
    add_class_map(network)
    assert graph_hash(without_class_map(network)) == graph_hash(plain)


def test_the_manifest_says_whether_there_is_a_map(tmp_path: Path, tiny_backbone: Backbone) -> None:
    save_bundle(tmp_path / "with", make_parts(tiny_backbone))
    save_bundle(tmp_path / "without", make_parts(tiny_backbone, stages=("blocks.1" + FLAT,)))
    assert load(tmp_path / "with").manifest["class_map"] == 8
    assert load(tmp_path / "without").manifest["class_map"] == 0


def test_lite0_on_real_photographs(lite0: Path, monkeypatch: pytest.MonkeyPatch, elpv_cells: dict[str, list[Path]], tmp_path: Path) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(lite0))
    backbone, stages = load_backbone("lite0"), ("blocks.2", "blocks.4", "blocks.6", "final")
    weight = np.random.default_rng(0).normal(scale=0.02, size=(2, feature_size(backbone, stages))).astype(np.float32)
    save_bundle(tmp_path / "bundle", make_parts(backbone, stages=stages, weight=weight))
    bundle = load(tmp_path / "bundle")
    assert bundle.manifest["class_map"] == 28
    for path in [paths[i] for paths in elpv_cells.values() for i in range(4)]:
        for label in (None, *bundle.classes):
            found = bundle.explain(path, label)
            assert found.bias is not None
            assert abs(float(found.map.sum()) + found.bias - found.logit) < ADDS_UP
    with Image.open(elpv_cells["defective"][0]) as image:
        assert image.size == (300, 300)
    pooled = with_map(features_model(backbone, ("pooled",)), 1280)
    check_sum(pooled, bundle.reference.pixels(np.asarray(Image.open(path).convert("RGB")))[np.newaxis])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "linear"),
    [("resnet18", True), ("swin_tiny_patch4_window7_224", True), ("mobilenetv3_small_050", False), ("vit_tiny_patch16_224", False)],
)
def test_networks_that_pool_last_have_a_map_of_their_own_pooling(name: str, linear: bool) -> None:
    backbone = load_backbone(name, seed=0)
    side = backbone.image_size
    pixels = np.random.default_rng(0).normal(size=(2, 3, side, side)).astype(np.float32)
    own = with_map(features_model(backbone, ("pooled",)), feature_size(backbone, ("pooled",)))
    assert has_class_map(own) is linear
    late = [stage.name for stage in backbone.stages if stage.side][-2:]
    for network in [own] * linear + [with_map(features_model(backbone, late), feature_size(backbone, late))]:
        check_sum(network, pixels)
