"""What the graph says of how unlike the training images an image is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from seefit.bundle.graph import features_model, features_part, graph_hash, merge, network_model, split
from seefit.bundle.runtime import open_session
from seefit.bundle.unknown import OUTPUT, Familiar, Float, with_unknown
from seefit.models.backbone import Backbone
from tiny import make_parts

STAGES = ("blocks.0", "blocks.1")
CLASSES = ("a", "b", "c")
WIDTH = 24


def made(classes: int = 3, directions: int = 4, seed: int = 0) -> Familiar:
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> Float:
        return rng.normal(size=shape).astype(np.float32)

    told = min(classes - 1, directions)
    return Familiar(
        numbers(WIDTH) / np.float32(20),
        np.linalg.qr(numbers(WIDTH, directions))[0],
        numbers(50, directions) / np.float32(5),
        numbers(directions, told),
        numbers(classes, told),
        rng.uniform(0.1, 1, told).astype(np.float32),
        np.array([-2.0, -0.5, 0.1], np.float32),
        np.array([0.5, 0.2, 3.0], np.float32),
        -1.25,
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_graph_gives_what_the_formulas_say(tiny_backbone: Backbone, classes: int) -> None:
    familiar, parts = made(classes), make_parts(tiny_backbone, CLASSES[:classes])
    network = with_unknown(network_model(parts.features, parts.weight, parts.bias, 1.5), familiar)
    onnx.checker.check_model(network, full_check=True)
    session = open_session(network, intra_threads=1)
    pixels = np.random.default_rng(1).normal(size=(7, 3, 32, 32)).astype(np.float32)
    found, features, logits = session.run([OUTPUT, "features", "logits"], {"pixels": pixels})
    assert found.shape == (7,)
    assert found == pytest.approx(familiar.scores(features, logits), abs=1e-4)
    alone = session.run([OUTPUT], {"pixels": pixels[:1]})[0]
    assert alone == pytest.approx(found[:1], abs=1e-5)


def test_the_signs_are_those_of_their_definitions() -> None:
    familiar, rng = made(3), np.random.default_rng(2)
    features, logits = rng.normal(size=(5, WIDTH)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    energy, relative, nearest = familiar.signs(features, logits).T
    centred = logits - logits.mean(1, keepdims=True)
    assert energy == pytest.approx(-np.log(np.exp(centred).sum(1)), abs=1e-6)
    assert familiar.signs(features, logits + 5)[:, 0] == pytest.approx(energy, abs=1e-5)  # which a shift of all logits does not change
    unit = features / np.linalg.norm(features, axis=1, keepdims=True) - familiar.centre
    flat = unit @ familiar.projection
    told = flat @ familiar.discriminants
    own = ((told[:, None] - familiar.means) ** 2).sum(2).min(1)
    assert relative == pytest.approx(own - (told**2 * familiar.background).sum(1), abs=1e-5)
    outside = unit - flat @ familiar.projection.T
    squares = ((flat[:, None] - familiar.gallery) ** 2).sum(2).min(1) + (outside**2).sum(1)
    assert nearest == pytest.approx(np.sqrt(squares), abs=1e-5)
    counted = np.maximum(np.stack([energy, relative, nearest], 1), familiar.floors) * familiar.units
    assert familiar.scores(features, logits) == pytest.approx(counted.sum(1) + familiar.offset, abs=1e-5)


def test_an_image_without_any_feature_has_an_answer(tiny_backbone: Backbone) -> None:
    parts = make_parts(tiny_backbone, CLASSES)
    network = with_unknown(network_model(parts.features, parts.weight, parts.bias, 1.0), made(3))
    found = open_session(network, intra_threads=1).run([OUTPUT], {"pixels": np.zeros((2, 3, 32, 32), np.float32)})[0]
    assert np.isfinite(found).all()
    assert np.isfinite(made(3).scores(np.zeros((1, WIDTH), np.float32), np.zeros((1, 3), np.float32))).all()


def test_the_merged_graph_has_the_output_and_the_features_stay_the_same(tiny_backbone: Backbone) -> None:
    parts = make_parts(tiny_backbone, CLASSES)
    network = network_model(parts.features, parts.weight, parts.bias, 1.5)
    whole = merge(parts.preprocess, with_unknown(network, made(3)))
    assert {output.name for output in whole.graph.output} == {"probabilities", "logits", "features", OUTPUT}
    preprocess, again = split(whole)
    assert graph_hash(features_part(again)) == graph_hash(features_part(network)) == graph_hash(features_model(tiny_backbone, STAGES))
    image = np.random.default_rng(3).integers(0, 256, (1, 40, 30, 3)).astype(np.uint8)
    merged = open_session(whole, intra_threads=1).run([OUTPUT, "probabilities"], {"image": image})
    pixels = open_session(preprocess, intra_threads=1).run(["pixels"], {"image": image})[0]
    apart = open_session(again, intra_threads=1).run([OUTPUT, "probabilities"], {"pixels": pixels})
    for one, other in zip(merged, apart, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
