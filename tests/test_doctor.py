"""Label errors, against cleanlab as oracle."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.doctor import confident_classes, find_label_errors
from seefit.evaluation.intervals import Floats, Ints


def made(classes: int, n: int = 600, *, flipped: float = 0.1, seed: int = 0) -> tuple[Floats, Ints, Ints]:
    """Return probabilities, given labels and true labels of images of which a share is mislabelled."""
    rng = np.random.default_rng(seed)
    true = (
        rng.integers(classes, size=n) if seed % 2 else rng.choice(classes, n, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    )
    logits = rng.normal(0, 1, (n, classes))
    logits[np.arange(n), true] += rng.normal(3, 1.5, n)
    powers = np.exp(logits)
    given = np.where(rng.random(n) < flipped, (true + rng.integers(1, classes, n)) % classes, true)
    return powers / powers.sum(1, keepdims=True), given, true


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (7, 2), (30, 3)])
def test_the_confident_joint_is_cleanlabs(classes: int, seed: int) -> None:
    from cleanlab.count import compute_confident_joint

    probabilities, given, _ = made(classes, seed=seed)
    joint = np.zeros((classes, classes), int)
    np.add.at(joint, (given, confident_classes(probabilities, given)), 1)
    # cleanlab leaves out what is sure of no class; here it counts for its own label
    expected = compute_confident_joint(given, probabilities, calibrate=False)
    off = ~np.eye(classes, dtype=bool)
    assert joint[off].tolist() == expected[off].tolist()


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (7, 1)])
def test_the_order_is_cleanlabs_order_by_self_confidence(classes: int, seed: int) -> None:
    from cleanlab.rank import get_label_quality_scores

    probabilities, given, _ = made(classes, seed=seed)
    found, suggested = find_label_errors(probabilities, given)
    quality = get_label_quality_scores(given, probabilities, method="self_confidence")
    assert found.tolist() == np.argsort(quality, kind="stable")[: len(found)].tolist()
    assert suggested.tolist() == probabilities[found].argmax(1).tolist()
    assert (suggested != given[found]).all()


def test_flipped_labels_are_found_and_their_true_class_is_suggested() -> None:
    probabilities, given, true = made(5, 2000, seed=1)
    found, suggested = find_label_errors(probabilities, given)
    wrong = given != true
    assert wrong[found].mean() > 0.8
    assert np.isin(np.flatnonzero(wrong), found).mean() > 0.6
    assert (suggested == true[found])[wrong[found]].mean() > 0.9


def test_right_labels_and_sure_scores_give_nothing() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    found, suggested = find_label_errors(np.eye(3)[labels] * 0.97 + 0.01, labels)
    assert (len(found), len(suggested)) == (0, 0)


def test_a_class_without_images_is_never_suggested_by_its_threshold() -> None:
    probabilities = np.array([[0.6, 0.1, 0.3], [0.1, 0.6, 0.3], [0.7, 0.0, 0.3], [0.0, 0.7, 0.3]])
    assert confident_classes(probabilities, np.array([0, 1, 0, 1])).tolist() == [0, 1, 0, 1]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, given, _ = made(7, seed=2)
    whole = confident_classes(probabilities, given)
    monkeypatch.setattr("seefit.evaluation.doctor._BLOCK", 50)
    assert confident_classes(probabilities, given).tolist() == whole.tolist()
