"""Features of augmented views, computed once and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seefit.fitting import open_extractor
from seefit.settings import make_settings
from seefit.training.features import FeatureExtractor
from seefit.training.kept import KeptViews
from seefit.training.viewed import count_views, share_missing, viewed_features
from test_fitting import make_part
from tiny import plant_tiny


@pytest.fixture
def extractor() -> FeatureExtractor:
    plant_tiny()
    return open_extractor(make_settings({"data": "x", "device": "cpu"}), np.full((6, 2), 16, np.int64))


@pytest.mark.parametrize(("augment", "most", "views"), [("none", 8, 1), ("any-way-up", 16, 8), ("any-way-up", 3, 3), ("light", 5, 5)])
def test_no_more_views_than_there_are_different_ones(augment: str, most: int, views: int) -> None:
    assert count_views(augment, most) == views


def test_views_stand_behind_their_image_and_are_those_of_turned_pixels(extractor: FeatureExtractor, tmp_path: Path) -> None:
    part = make_part(tmp_path / "p", 6, seed=0)
    found = viewed_features(extractor, part.samples, part.sha256, "any-way-up", 8, seed=0).reshape(6, 8, -1)
    np.testing.assert_array_equal(found[:, 0], extractor.extract(part.samples, part.sha256))
    assert len(np.unique(found[0].round(5), axis=0)) == 8
    turned = make_part(tmp_path / "q", 6, seed=0)
    from PIL import Image

    for sample in turned.samples:
        Image.open(sample.path).rotate(90).save(sample.path)
    from test_cache import digest

    own = extractor.extract(turned.samples, [digest(sample.path) for sample in turned.samples])
    for image in range(6):  # one of the eight is a quarter turn
        assert np.abs(found[image] - own[image]).max(1).min() < 1e-2


def test_they_are_kept(extractor: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_part(tmp_path / "p", 6, seed=0)
    assert share_missing(extractor, part.samples, part.sha256, "any-way-up", 4, seed=0) == 1
    first = viewed_features(extractor, part.samples, part.sha256, "any-way-up", 4, seed=0)
    assert share_missing(extractor, part.samples, part.sha256, "any-way-up", 4, seed=0) == 0
    assert 0.5 < share_missing(extractor, part.samples, part.sha256, "any-way-up", 8, seed=0) < 0.7  # 4 of 7
    assert share_missing(extractor, part.samples, part.sha256, "none", 1, seed=0) == 0
    filled: list[int] = []
    fill = KeptViews.fill
    monkeypatch.setattr(KeptViews, "fill", lambda self, rows: filled.append(fill(self, rows)))
    np.testing.assert_array_equal(viewed_features(extractor, part.samples, part.sha256, "any-way-up", 4, seed=0), first)
    assert sum(filled) == 0
