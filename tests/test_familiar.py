"""What a model knows, told from images that it knows and images that it does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.bundle.unknown import Familiar
from seefit.evaluation.familiar import DIRECTIONS, GALLERY, compared, fit_familiar, gallery_rows, with_limit

Float = NDArray[np.float32]


def cloud(n: int, classes: list[int], *, width: int = 60, seed: int = 0) -> tuple[Float, NDArray[np.int64], Float]:
    """Return features, labels and logits of images around the means of some of ten classes."""
    means = np.random.default_rng(0).normal(size=(10, width)) * 1.2
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), n)
    features = (means[classes][labels] + rng.normal(size=(n, width)) + 2).astype(np.float32)
    known = list(range(7))
    logits = (features - 2) @ means[known].T - 0.5 * (means[known] ** 2).sum(1)
    return features, labels.astype(np.int64), (logits / 10).astype(np.float32)


def fitted(n: int = 700) -> Familiar:
    features, labels, _ = cloud(n, list(range(7)))
    return fit_familiar(features, labels, 7)


def test_the_gallery_holds_every_class_evenly() -> None:
    labels = np.concatenate([np.zeros(5000, int), np.ones(300, int), np.full(2, 2)])
    rows = gallery_rows(labels, 800)
    assert np.bincount(labels[rows]).tolist() == [498, 300, 2]
    assert (np.diff(rows) > 0).all()
    first = rows[labels[rows] == 0]
    assert first[0] == 0
    assert first[-1] > 4900  # spread over the class, not its beginning
    assert np.diff(first).max() <= 11
    assert gallery_rows(labels[:50]).tolist() == list(range(50))
    many = np.repeat(np.arange(3000), 3)
    assert len(gallery_rows(many)) == 3000 > GALLERY
    assert len(np.unique(many[gallery_rows(many)])) == 3000
    np.random.default_rng(0).shuffle(labels)
    assert np.bincount(labels[gallery_rows(labels, 800)]).tolist() == [498, 300, 2]


def test_known_images_are_refused_at_the_stated_rate_and_unknown_ones_far_more() -> None:
    held, fresh, strange = cloud(400, list(range(7)), seed=1), cloud(4000, list(range(7)), seed=2), cloud(500, [7, 8, 9], seed=3)
    familiar = with_limit(fitted(), fitted().signs(held[0], held[2]))
    assert familiar is not None
    scores = familiar.scores(fresh[0], fresh[2])
    assert (scores > 1).mean() == pytest.approx(0.05, abs=0.025)  # a limit from 400 images
    assert np.median(scores) == pytest.approx(0, abs=0.1)
    assert (familiar.scores(strange[0], strange[2]) > 1).mean() > 0.8
    strict = with_limit(fitted(), fitted().signs(held[0], held[2]), rate=0.2)
    assert strict is not None
    assert (strict.scores(fresh[0], fresh[2]) > 1).mean() == pytest.approx(0.2, abs=0.05)


def test_what_is_far_from_everything_is_refused_however_sure_the_head_is() -> None:
    """Pictures of another kind often get the highest scores of all."""
    held = cloud(400, list(range(7)), seed=1)
    familiar = with_limit(fitted(), fitted().signs(held[0], held[2]))
    assert familiar is not None
    far = np.random.default_rng(4).normal(size=(50, 60)).astype(np.float32) ** 3
    sure = np.zeros((50, 7), np.float32)
    for height in (held[2].max(), 50.0, 1000.0):
        sure[:, 0] = height
        assert (familiar.scores(far, sure) > 1).mean() > 0.95


def test_few_images_give_few_directions_and_wide_features_too() -> None:
    features, labels, _ = cloud(40, [0, 1])
    assert fit_familiar(features, labels, 2).projection.shape == (60, 4)
    wide = np.random.default_rng(0).normal(size=(200, 30_000)).astype(np.float32)
    assert fit_familiar(wide, np.arange(200) % 2, 2).projection.shape == (30_000, 17)
    rows = np.random.default_rng(0).normal(size=(1500, 200)).astype(np.float32)
    many = fit_familiar(rows, np.arange(1500) % 3, 3)
    assert many.projection.shape == (200, DIRECTIONS)
    assert many.means.shape == (3, 2)


def test_the_same_images_give_the_same_numbers() -> None:
    one, other = fitted(), fitted()
    assert all((getattr(one, name) == getattr(other, name)).all() for name in ("centre", "projection", "gallery", "means", "discriminants"))


def test_two_classes_one_image_each_and_a_class_without_any() -> None:
    features, labels, logits = cloud(60, [0, 2], seed=5)
    familiar = fit_familiar(features, labels * 2, 3)
    assert familiar.means.shape == (3, 1)
    assert np.isfinite(familiar.signs(features, logits)).all()
    tiny = fit_familiar(features[:2], np.array([0, 1]), 2)
    assert np.isfinite(tiny.signs(features, logits)).all()
    same = fit_familiar(np.ones((30, 5), np.float32), np.arange(30) % 2, 2)
    assert np.isfinite(same.signs(features[:, :5], logits)).all()


def test_too_few_or_equal_images_give_no_limit() -> None:
    features, _, logits = cloud(30, list(range(7)), seed=6)
    signs = fitted().signs(features, logits)
    assert with_limit(fitted(), signs[:18]) is None
    assert with_limit(fitted(), signs[:19]) is not None
    assert with_limit(fitted(), np.zeros((30, 3))) is None


def test_a_trained_network_is_asked_about_as_many_images_as_are_compared() -> None:
    assert [compared(500, 80), compared(50_000, 80), compared(500, 0)] == [500, GALLERY, 0]
