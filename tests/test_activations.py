"""The boundary cache: what is kept is what the lower part gives, and a damaged value is computed again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.graph import features_model
from seefit.bundle.runtime import open_session
from seefit.data.dataset import Sample
from seefit.models.backbone import Backbone
from seefit.training.activations import Activations, room, shape_of
from seefit.training.cache import open_store
from test_cache import Listener
from test_engine import Fussy
from tiny import make_backbone

BELOW = ("blocks.0",)


def turned(pixels: NDArray[np.uint8], sha256: str, number: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(pixels, number))


@pytest.fixture
def backbone(tmp_path: Path) -> Backbone:
    return make_backbone(tmp_path / "tiny.onnx")


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for i in range(5):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(path)
        found.append(Sample(path, path.name, None))
    return found


def opened(backbone: Backbone, samples: list[Sample], boundary: str | None = "blocks.0", console: Listener | None = None) -> Activations:
    sha256 = [hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in samples]
    return Activations(
        backbone, boundary, BELOW, "squash", samples, sha256, view=turned, view_key="turns", exact=True, console=console or Listener()
    )


def test_what_is_kept_is_what_the_lower_part_gives(backbone: Backbone, samples: list[Sample]) -> None:
    rows = [(i, view) for i in range(5) for view in (0, 1, 3)]
    session = open_session(features_model(backbone, ("blocks.0/flat", *BELOW)), intra_threads=1)
    with opened(backbone, samples) as activations:
        assert activations.kept.fill(rows) == 15
        assert activations.kept.fill(rows) == 0
        mixed = [rows[7], rows[2], rows[14], rows[0]]
        maps, below = activations.read(mixed)
        assert (maps.shape, str(maps.dtype), below.shape, str(below.dtype)) == ((4, 4, 8, 8), "float16", (4, 8), "float32")
        for row, found, pooled in zip(mixed, maps, below, strict=True):
            pixels = np.rot90(np.asarray(Image.open(samples[row[0]].path)), row[1])
            expected = session.run(["features"], {"pixels": activations._reference.pixels(np.ascontiguousarray(pixels))[np.newaxis]})[0][0]
            np.testing.assert_allclose(found.ravel(), expected[:256], rtol=1e-3, atol=1e-4)
            np.testing.assert_array_equal(pooled, expected[256:])


def test_new_views_and_images_cost_only_themselves(backbone: Backbone, samples: list[Sample]) -> None:
    with opened(backbone, samples[:3]) as activations:
        activations.kept.fill([(i, 0) for i in range(3)])
    with opened(backbone, samples[::-1]) as activations:
        assert activations.kept.missing([(i, 0) for i in range(5)]) == [(0, 0), (1, 0)]
        assert activations.kept.fill([(i, view) for i in range(5) for view in (0, 1)]) == 7


def test_a_damaged_value_is_computed_again_and_never_used(backbone: Backbone, samples: list[Sample]) -> None:
    rows, heard = [(i, 0) for i in range(5)], Listener()
    with opened(backbone, samples, console=heard) as activations:
        activations.kept.fill(rows)
        good = activations.read(rows)
        with open_store() as store, store._environment.env.begin(write=True) as transaction:
            database = store._environment.shelf(activations.kept.recipe.shelf)
            key = activations.kept.key(rows[2])
            value = bytearray(transaction.get(key, db=database) or b"")
            value[100] ^= 1
            transaction.put(key, bytes(value), db=database)
        again = activations.read(rows)
        for before, after in zip(good, again, strict=True):
            np.testing.assert_array_equal(before, after)
        assert activations.kept.missing(rows) == []
    assert heard.warned == ["1 kept activations were damaged and are computed again"]


def test_what_does_not_fit_into_memory_is_computed_in_smaller_batches(backbone: Backbone, samples: list[Sample]) -> None:
    rows, heard = [(i, view) for i in range(5) for view in (0, 1)], Listener()
    with opened(backbone, samples) as activations:
        activations.kept.fill(rows)
        expected = activations.read(rows)
        with open_store() as store:
            store.clear()
    with opened(backbone, samples, console=heard) as activations:
        activations._engine = Fussy(activations._reference, 3)
        assert activations.kept.fill(rows) == 10
        maps, below = activations.read(rows)
        np.testing.assert_allclose(maps, expected[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(below, expected[1], rtol=1e-3, atol=1e-4)
    assert [told.split(";")[0] for told in heard.warned] == [
        "Out of memory: computing features goes on with 4 instead of 8 images at once",
        "Out of memory: computing features goes on with 2 instead of 4 images at once",
    ]


def test_without_a_boundary_the_pooled_features_alone_are_kept(backbone: Backbone, samples: list[Sample]) -> None:
    with opened(backbone, samples, boundary=None) as activations:
        activations.kept.fill([(0, 0)])
        maps, below = activations.read([(0, 0)])
    assert (maps.shape, below.shape) == ((1, 0, 0, 0), (1, 8))


def test_sizes_are_known_before(backbone: Backbone) -> None:
    shape = shape_of(backbone, "blocks.0", BELOW)
    assert (shape.channels, shape.side, shape.below, shape.bytes) == (4, 8, 8, 2 * 256 + 4 * 8)
    assert 0 < room() <= 20 * 2**30
