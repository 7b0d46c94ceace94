"""Several networks as one: its logits are the mean of theirs, over all views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.bundle.averaging import FEATURES, Colour, Member, View, average_heads, average_networks
from seefit.bundle.bundle import Parts, load, save_bundle
from seefit.bundle.graph import feature_size, features_model, hidden_model, opset_of, preprocess_model
from seefit.bundle.runtime import open_session
from seefit.files import sha256_file
from seefit.models.backbone import Backbone, Stage
from tiny import CLASSES, SIDE, make_backbone, make_parts

HALF: Colour = (0.5, 0.5, 0.5)
IMAGENET: tuple[Colour, Colour] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ALL_VIEWS: list[View] = [(), (3,), (2,), (2, 3)]
PARTS = [("blocks.0", "blocks.1"), ("blocks.1",), ("pooled",)]


def make_members(folder: Path, colours: list[tuple[Colour, Colour]]) -> list[Member]:
    """Return networks that differ in weights, features, heads and normalisation."""
    members = []
    for number, (mean, std) in enumerate(colours):
        backbone, parts = make_backbone(folder / f"{number}.onnx", seed=number), PARTS[number]
        rng = np.random.default_rng(number)
        network, width = features_model(backbone, parts), feature_size(backbone, parts)
        if number == 2:  # a head with a hidden layer, which the network then ends in
            network, width = hidden_model(network, rng.normal(size=(5, width)).astype(np.float32), np.ones(5, np.float32)), 5
        weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((len(CLASSES), width), len(CLASSES)))
        members.append(Member(network, mean, std, weight, bias))
    return members


def own_logits(member: Member, rgb: NDArray[np.float64], view: View) -> NDArray[np.float64]:
    """Return what a member says of pictures (N, 3, S, S) in [0, 1], from the definition."""
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (member.mean, member.std))
    pixels = np.flip((rgb - mean) / std, view).astype(np.float32)
    (features,) = open_session(member.network, intra_threads=1).run(["features"], {"pixels": pixels})
    logits: NDArray[np.float64] = features.astype(np.float64) @ member.weight.T + member.bias
    return logits


@pytest.mark.parametrize("views", [[()], [(), (3,)], ALL_VIEWS])
@pytest.mark.parametrize("colours", [[(HALF, HALF)], [(HALF, HALF)] * 2, [(HALF, HALF), IMAGENET, (HALF, HALF)]])
def test_the_logits_are_the_mean_over_networks_and_views(tmp_path: Path, colours: list[tuple[Colour, Colour]], views: list[View]) -> None:
    members = make_members(tmp_path, colours)
    rgb = np.random.default_rng(9).random((5, 3, SIDE, SIDE))
    expected = np.mean([own_logits(member, rgb, view) for member in members for view in views], 0)
    session = open_session(average_networks(members, views), intra_threads=1)
    (features,) = session.run([FEATURES], {"pixels": ((rgb - 0.5) / 0.5).astype(np.float32)})
    weight, bias = average_heads(members)
    assert features.shape == (5, sum(member.weight.shape[1] for member in members))
    assert weight.dtype == bias.dtype == np.float32
    np.testing.assert_allclose(features @ weight.T + bias, expected, atol=1e-5)


def test_a_picture_and_its_mirror_image_get_one_answer(tmp_path: Path) -> None:
    session = open_session(average_networks(make_members(tmp_path, [(HALF, HALF)]), [(), (3,)]), intra_threads=1)
    pixels = np.random.default_rng(3).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    here, mirrored, upturned = (
        session.run([FEATURES], {"pixels": np.ascontiguousarray(np.flip(pixels, view))})[0] for view in ((), (3,), (2,))
    )
    np.testing.assert_allclose(here, mirrored, atol=1e-6)
    assert np.abs(here - upturned).max() > 1e-2


def test_the_merged_network_makes_a_bundle_like_every_other(tmp_path: Path) -> None:
    members = make_members(tmp_path, [(HALF, HALF), IMAGENET])
    file = tmp_path / "merged.onnx"
    file.write_bytes(average_networks(members, ALL_VIEWS).SerializeToString())
    weight, bias = average_heads(members)
    backbone = Backbone("a+b", SIDE, HALF, HALF, (Stage(FEATURES, weight.shape[1], 0),), "two", file, sha256_file(file))
    about = make_parts(make_backbone(tmp_path / "about.onnx")).about | {"backbone": "a+b", "features": [FEATURES]}
    network = features_model(backbone, [FEATURES])
    preprocess = preprocess_model(SIDE, HALF, HALF, "squash", opset=opset_of(network))
    save_bundle(tmp_path / "bundle", Parts(preprocess, network, weight, bias, 1.5, CLASSES, about))
    bundle = load(tmp_path / "bundle")
    bundle.verify()
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    pixels = bundle.reference.pixels(image)[np.newaxis]
    logits, features = bundle.reference.run(pixels, ["logits", "features"])
    rgb = pixels.astype(np.float64) * 0.5 + 0.5
    expected = np.mean([own_logits(member, rgb, view) for member in members for view in ALL_VIEWS], 0)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert features.shape == (1, weight.shape[1])
