"""Fitting: an engine that is off is found out and the head fitted again, and the temperature comes from where it should."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seefit import fitting
from seefit.data.dataset import Sample
from seefit.evaluation.calibrate import fit_temperature, softmax
from seefit.fitting import Fitted, fit_probe, open_extractor
from seefit.parts import Part
from seefit.settings import Settings, make_settings
from seefit.training.features import FeatureExtractor
from seefit.training.head import fit_head
from seefit.training.viewed import viewed_features
from test_cache import Listener, digest
from tiny import plant_tiny

CLASSES = ("dark", "light")


class Warped:
    """The reference with an error of its own making."""

    name, batch = "warped", 8

    def __init__(self, extractor: FeatureExtractor, error: float) -> None:
        self.reference, self.error = extractor.reference, error

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        for features in self.reference.forward(batches):
            yield features * np.float32(1 - self.error) + np.float32(self.error)


def make_part(folder: Path, count: int, seed: int, first: str = "") -> Part:
    """Return noisy pictures of two shades that overlap."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    samples = []
    for i in range(count):
        path, label = folder / f"{i}.png", i % 2
        Image.fromarray(np.clip(rng.normal(115 + 25 * label, 25) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)).save(path)
        samples.append(Sample(path, path.name, CLASSES[label], weight=1 + i % 3))
    return Part(samples, [digest(sample.path) for sample in samples], np.arange(count))


@pytest.fixture
def settings() -> Settings:
    plant_tiny()
    return make_settings({"data": "pictures", "device": "cpu"})


@pytest.fixture
def train(tmp_path: Path) -> Part:
    return make_part(tmp_path / "train", 60, seed=0)


def open_warped(settings: Settings, error: float) -> FeatureExtractor:
    extractor = open_extractor(settings, np.full((60, 2), 16, np.int64))
    extractor.engine = Warped(extractor, error)
    return extractor


def fit(settings: Settings, extractor: FeatureExtractor, train: Part, val: Part | None = None, console: Listener | None = None) -> Fitted:
    features = extractor.extract(train.samples, train.sha256)
    return fit_probe(settings, extractor, features, CLASSES, train, val, console=console or Listener())


def test_an_engine_that_is_off_is_replaced_and_the_head_fitted_again(settings: Settings, train: Part) -> None:
    heard = Listener()
    fitted = fit(settings, open_warped(settings, 0.9), train, console=heard)
    assert fitted.extractor.engine is fitted.extractor.reference
    assert fitted.engine_difference is not None
    assert fitted.engine_difference["images"] == 60
    assert len(heard.warned) == 1
    assert heard.warned[0].startswith("warped differs from the reference (mean difference ")
    assert heard.warned[0].endswith(" the same label): using onnxruntime-fp32")
    exact = fitted.extractor.extract(train.samples, train.sha256, exact=True)
    expected = fit_head(exact, np.eye(2, dtype=np.float32)[train.labels(CLASSES)], weights=train.weights(), units=train.units)
    np.testing.assert_array_equal(fitted.head.weight, expected.weight)


def test_an_engine_within_the_tolerance_stays(settings: Settings, train: Part) -> None:
    heard = Listener()
    fitted = fit(settings, open_warped(settings, 1e-4), train, console=heard)
    assert fitted.extractor.engine.name == "warped"
    assert fitted.engine_difference is not None
    assert 0 < fitted.engine_difference["mean_difference"] < 0.001
    assert fitted.engine_difference["same_label"] == 1
    assert heard.warned == []


def test_the_reference_need_not_be_compared_with_itself(settings: Settings, train: Part) -> None:
    extractor = open_extractor(settings, np.full((60, 2), 16, np.int64))
    extractor.use_reference()
    assert fit(settings, extractor, train).engine_difference is None


def test_the_temperature_comes_from_the_validation_part_by_the_reference(settings: Settings, train: Part, tmp_path: Path) -> None:
    val = make_part(tmp_path / "val", 40, seed=1)
    fitted = fit(settings, open_warped(settings, 0.05), train, val)
    exact = fitted.extractor.extract(val.samples, val.sha256, exact=True)
    assert fitted.temperature == fit_temperature(fitted.head.logits(exact), val.labels(CLASSES), val.weights())
    assert fitted.val is not None
    right = softmax(fitted.head.logits(exact)).argmax(1) == val.labels(CLASSES)
    assert fitted.val["accuracy"]["value"] == pytest.approx(right.mean())
    assert fitted.folds is not None
    assert (fitted.folds["folds"], fitted.folds["n"], fitted.folds["engine"]) == (5, 60, fitted.extractor.engine.name)


def test_the_baseline_is_the_commonest_class_of_the_training_part(settings: Settings, train: Part, tmp_path: Path) -> None:
    everything = make_part(tmp_path / "val", 40, seed=1)
    dark = [i for i in range(60) if i % 2 == 0 or i < 20]  # 30 dark and 10 light
    light = [i for i in range(40) if i % 2 == 1 or i < 20]  # 10 dark and 20 light
    part, val = (
        Part([whole.samples[i] for i in index], [whole.sha256[i] for i in index], np.arange(len(index)))
        for whole, index in ((train, dark), (everything, light))
    )
    assert part.majority(CLASSES) == 0
    fitted = fit(settings, open_warped(settings, 0.0), part, val)
    assert fitted.val is not None and fitted.folds is not None
    assert fitted.val["majority_baseline"]["value"] == pytest.approx(1 / 3)
    assert fitted.folds["majority_baseline"]["value"] == pytest.approx(3 / 4)


def test_many_images_say_that_the_strength_comes_from_a_sample(settings: Settings, train: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Listener()
    monkeypatch.setattr(fitting, "MAX_PATH_ROWS", 59)
    fit(settings, open_warped(settings, 0.0), train, console=heard)
    assert heard.said[-1].endswith(" chosen by cross-validation on a sample of the images")


def test_without_a_validation_part_the_temperature_comes_from_the_folds(settings: Settings, train: Part) -> None:
    fitted = fit(settings, open_warped(settings, 0.0), train)
    head = fitted.head
    assert fitted.val is None and fitted.calibrated
    assert fitted.temperature == fit_temperature(head.fold_logits, train.labels(CLASSES), train.weights())
    empty = Part([], [], np.empty(0, np.int64))
    assert fit(settings, open_warped(settings, 0.0), train, empty).temperature == fitted.temperature


def test_without_folds_the_temperature_is_one(settings: Settings, tmp_path: Path) -> None:
    heard = Listener()
    fitted = fit(settings, open_warped(settings, 0.0), make_part(tmp_path / "two", 2, seed=0), console=heard)
    assert (fitted.temperature, fitted.folds, fitted.head.method, fitted.calibrated) == (1.0, None, "nearest-mean", False)
    assert heard.said == ["Head: nearest class mean, since the classes are too small or too many for cross-validation"]


def test_the_box_is_chosen_from_the_shapes_unless_it_is_given(settings: Settings) -> None:
    wide = np.full((10, 2), [300, 100], np.int64)
    heard = Listener()
    assert open_extractor(settings, wide, console=heard).fit == "pad"
    assert heard.said[0] == "Pictures: padded to a square, since the images all have one long shape, about 3.0:1 (--fit)"
    assert heard.said[1].startswith("Model: tf_efficientnet_lite0 at 32 px, frozen: 24 features per image, computed once by ")
    given = make_settings({"data": "pictures", "device": "cpu", "fit": "crop"})
    assert open_extractor(given, wide).fit == "crop"


def test_a_part_spreads_its_spot_check_over_all_its_images(train: Part) -> None:
    samples, digests = train.spread(3)
    assert [sample.name for sample in samples] == ["0.png", "29.png", "59.png"]
    assert digests == [train.sha256[0], train.sha256[29], train.sha256[59]]
    assert train.spread(500)[0] == train.samples


def test_a_probe_with_views_learns_from_them_and_is_judged_on_the_images(settings: Settings, train: Part) -> None:
    plain = fit(settings, open_extractor(settings, np.full((60, 2), 16, np.int64)), train)
    viewed = settings.model_copy(update={"augment": "any-way-up", "probe_views": 8})
    extractor = open_extractor(viewed, np.full((60, 2), 16, np.int64))
    fitted = fit(viewed, extractor, train)
    assert fitted.head.fold_rows.tolist() == list(range(60))
    assert fitted.head.fold_logits.shape == (60, 2)
    assert not np.allclose(fitted.head.weight, plain.head.weight)
    features = viewed_features(extractor, train.samples, train.sha256, "any-way-up", 8, seed=0)
    targets = np.repeat(train.one_hot(CLASSES), 8, axis=0)
    again = fit_head(features, targets, weights=np.repeat(train.weights(), 8), units=np.repeat(train.units, 8))
    np.testing.assert_array_equal(fitted.head.weight, again.weight)


def test_views_that_are_all_the_same_change_nothing(settings: Settings, train: Part) -> None:
    same = settings.model_copy(update={"augment": "none", "probe_views": 8})
    heads = [fit(one, open_extractor(one, np.full((60, 2), 16, np.int64)), train).head for one in (settings, same)]
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)
