"""What lets one prediction be trusted comes from images that the model did not learn from, and the bundle tells it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.bundle.bundle import load, save_bundle
from seefit.bundle.sets import content_draws
from seefit.bundle.trusted import Trust
from seefit.bundling import bundle_parts
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.confidence import fit_confidence
from seefit.evaluation.conformal import fit_sets
from seefit.fitting import Fitted
from seefit.parts import Part
from seefit.settings import Settings, make_settings
from seefit.training.head import Hidden, make_folds
from seefit.trusting import fit_trust
from test_cache import Listener
from test_fitting import CLASSES, fit, make_part, open_warped
from tiny import plant_tiny


@pytest.fixture
def settings() -> Settings:
    plant_tiny()
    return make_settings({"data": "pictures", "device": "cpu"})


@pytest.fixture
def train(tmp_path: Path) -> Part:
    return make_part(tmp_path / "train", 120, seed=0)


@pytest.fixture
def val(tmp_path: Path) -> Part:
    return make_part(tmp_path / "val", 80, seed=1)


def test_the_validation_part_sets_the_limits_and_the_graph_tells_them(settings: Settings, train: Part, val: Part, tmp_path: Path) -> None:
    fitted, heard = fit(settings, open_warped(settings, 0.0), train, val), Listener()
    trust = fit_trust(fitted, settings, CLASSES, train, val, console=heard)
    assert (trust.source, trust.images) == ("val", 80)
    assert heard.said == ["Trust: sets that hold the class of 90%, and “none of these” at 5%, from 80 validation images"]
    fresh = make_part(tmp_path / "fresh", 300, seed=2)
    save_bundle(tmp_path / "bundle", bundle_parts(fitted, CLASSES, settings, train, trust))
    bundle = load(tmp_path / "bundle")
    bundle.verify()
    found = list(bundle.predictions([sample.path for sample in fresh.samples]))
    exact = fitted.extractor.extract(fresh.samples, fresh.sha256, exact=True)
    logits = fitted.head.logits(exact)
    assert trust.familiar is not None
    assert trust.sets is not None
    assert [p.unknown for p in found] == pytest.approx(trust.familiar.scores(exact, logits).tolist(), abs=1e-4)
    sets = trust.sets.sets(softmax(logits, fitted.temperature), content_draws(fresh.sha256))
    assert [set(p.members or ()) for p in found] == [{CLASSES[i] for i in np.flatnonzero(row)} for row in sets]
    assert all(p.members is not None and p.members[0] == p.label for p in found)
    assert np.mean([p.none_of_these for p in found]) < 0.15  # a limit from 80 images
    held = np.mean([sample.label in (p.members or ()) for sample, p in zip(fresh.samples, found, strict=True)])
    assert held > 0.8
    assert trust.confidence == fit_confidence(softmax(held_out(fitted, val), fitted.temperature), val.labels(CLASSES), val.units, seed=0)
    assert [p.trust()["selective_accuracy"] for p in found] == [
        trust.confidence.of(float(p.probabilities.max()))["selective_accuracy"] for p in found
    ]
    striped = np.zeros((32, 32, 3), np.uint8)
    striped[:, ::2] = 255
    assert bundle.reference.run(bundle.reference.pixels(striped)[np.newaxis], ["unknown"])[0][0] > 1


def held_out(fitted: Fitted, part: Part) -> NDArray[np.float32]:
    return fitted.head.logits(fitted.extractor.extract(part.samples, part.sha256, exact=True))


def test_without_a_validation_part_the_folds_do(settings: Settings, train: Part) -> None:
    fitted = fit(settings, open_warped(settings, 0.0), train)
    trust = fit_trust(fitted, settings, CLASSES, train)
    head, labels = fitted.head, train.labels(CLASSES)
    assert (trust.source, trust.images) == ("folds", 120)
    expected = fit_sets(softmax(head.fold_logits, fitted.temperature), labels[head.fold_rows], content_draws(train.sha256))
    assert trust.sets is not None
    assert expected is not None
    assert trust.sets.limits.tolist() == expected.limits.tolist()
    told = softmax(head.fold_logits, fitted.temperature)
    assert trust.confidence == fit_confidence(told, labels[head.fold_rows], train.units[head.fold_rows], seed=settings.seed)
    # every image was compared with the other folds alone: with itself in the gallery its distance would be nearly nothing
    folds = make_folds(labels, train.units, settings.seed)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(120))
    assert trust.familiar is not None
    features = fitted.extractor.extract(train.samples, train.sha256)
    inside = trust.familiar.scores(features, head.logits(features))
    assert np.mean(inside > 1) < 0.05
    again = fit_trust(fitted, settings, CLASSES, train)
    assert again.familiar is not None
    assert again.familiar.offset == trust.familiar.offset
    assert (again.familiar.gallery == trust.familiar.gallery).all()


def test_a_network_that_learnt_from_every_image_gets_neither(settings: Settings, train: Part, tmp_path: Path) -> None:
    fitted, heard = replace(fit(settings, open_warped(settings, 0.0), train), folds=None, trained=("blocks.1",)), Listener()
    trust = fit_trust(fitted, settings, CLASSES, train, Part([], [], np.empty(0, np.int64)), console=heard)
    assert trust == Trust()
    assert heard.said == ["No sets of classes and no “none of these”: they take 20 images that the model did not learn from (--val)"]
    save_bundle(tmp_path / "bundle", bundle_parts(fitted, CLASSES, settings, train, trust))
    bundle = load(tmp_path / "bundle")
    assert bundle.manifest["trust"] == {"fitted_on": None, "images": 0, "sets": None, "unknown": None, "confidence": None}
    (prediction,) = bundle.predictions(train.samples[0].path)
    assert prediction.trust() == {}
    assert "reject_threshold" not in _metadata(bundle.folder)


def test_few_images_are_too_few(settings: Settings, train: Part, tmp_path: Path) -> None:
    few = make_part(tmp_path / "few", 19, seed=3)
    assert fit_trust(fit(settings, open_warped(settings, 0.0), train, few), settings, CLASSES, train, few) == Trust()


def test_a_trained_network_is_compared_by_the_reference(settings: Settings, train: Part, val: Part) -> None:
    """Its fast engine was not held against the reference, so it must not be asked."""
    fitted = replace(fit(settings, open_warped(settings, 0.0), train, val), folds=None, trained=("blocks.1",))
    warped = replace(fitted, extractor=open_warped(settings, 0.9))
    exact, asked = (fit_trust(one, settings, CLASSES, train, val).familiar for one in (fitted, warped))
    assert exact is not None
    assert asked is not None
    assert exact.gallery == pytest.approx(asked.gallery)


def test_behind_a_hidden_layer_it_is_that_layer_which_is_compared(settings: Settings, train: Part, val: Part, tmp_path: Path) -> None:
    fitted = fit(settings, open_warped(settings, 0.0), train, val)
    rng = np.random.default_rng(0)
    hidden = Hidden(rng.normal(size=(16, fitted.extractor.width)).astype(np.float32), np.ones(16, np.float32))
    head = replace(fitted.head, hidden=hidden, weight=rng.normal(size=(2, 16)).astype(np.float32), method="hidden")
    deep = replace(fitted, head=head, folds=None, trained=())
    trust = fit_trust(deep, settings, CLASSES, train, val)
    save_bundle(tmp_path / "bundle", bundle_parts(deep, CLASSES, settings, train, trust))
    bundle = load(tmp_path / "bundle")
    exact = deep.extractor.extract(val.samples[:5], val.sha256[:5], exact=True)
    assert trust.familiar is not None
    expected = trust.familiar.scores(head.seen(exact), head.logits(exact)).tolist()
    assert [p.unknown for p in bundle.predictions([sample.path for sample in val.samples[:5]])] == pytest.approx(expected, abs=1e-3)


def test_the_manifest_and_the_graph_say_what_was_fitted(settings: Settings, train: Part, val: Part, tmp_path: Path) -> None:
    fitted: Fitted = fit(settings, open_warped(settings, 0.0), train, val)
    trust = fit_trust(fitted, settings, CLASSES, train, val)
    save_bundle(tmp_path / "bundle", bundle_parts(fitted, CLASSES, settings, train, trust))
    said = load(tmp_path / "bundle").manifest["trust"]
    assert (said["fitted_on"], said["images"]) == ("val", 80)
    assert (said["unknown"]["threshold"], said["unknown"]["rate"]) == (1.0, 0.05)
    assert said["sets"]["coverage"] == 0.9
    assert set(said["sets"]["class_limits"]) == set(CLASSES)
    assert _metadata(tmp_path / "bundle")["reject_threshold"] == "1.0"


def _metadata(folder: Path) -> dict[str, str]:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
