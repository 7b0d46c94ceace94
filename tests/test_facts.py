"""What is known of each image, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.facts import gather_facts, number_units

TABLE = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]])
LABELS = np.array([0, 2, 1])


def test_what_is_known_of_each_image() -> None:
    facts = gather_facts(TABLE, LABELS, 3, [1, 1, 2], 2)
    assert facts.n_classes == 3
    assert facts.predicted.tolist() == [0, 1, 0], "the first of equals"
    assert facts.right.tolist() == [True, False, False]
    assert facts.common.tolist() == [False, True, False]
    assert facts.confidence.tolist() == [0.7, 0.6, 0.4]
    assert facts.nll == pytest.approx(-np.log([0.7, 0.3, 0.4]))
    assert facts.brier == pytest.approx([0.09 + 0.04 + 0.01, 0.01 + 0.36 + 0.49, 0.16 + 0.36 + 0.04])
    assert facts.weights is not None


def test_the_commonest_class_is_that_of_the_labels_where_none_is_given() -> None:
    assert gather_facts(TABLE, np.array([1, 2, 1]), 3, None, None).majority == 1


def test_blocks_do_not_change_the_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gather_facts(TABLE, LABELS, 3, None, None)
    monkeypatch.setattr("seefit.evaluation.facts._BLOCK", 3)
    cut = gather_facts(TABLE, LABELS, 3, None, None)
    assert (cut.nll == whole.nll).all()
    assert (cut.predicted == whole.predicted).all()


def test_equal_weights_are_no_weights() -> None:
    assert gather_facts(TABLE, LABELS, 3, [0.5, 0.5, 0.5], None).weights is None


@pytest.mark.parametrize("weights", [[1, 2], [1, 2, -1], [1, 2, np.nan]])
def test_weights_that_do_not_fit(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="expected 3 finite weights of at least 0"):
        gather_facts(TABLE, LABELS, 3, weights, None)


def test_groups_become_numbers() -> None:
    units = number_units(np.array(["b", "a", "b"]), 3)
    assert units is not None
    assert units.tolist() == [1, 0, 1]
    assert number_units(["x", "y", "z"], 3) is None, "every image stands alone"
    assert number_units(None, 3) is None
    with pytest.raises(ValueError, match="expected 3 groups"):
        number_units([1, 2], 3)
