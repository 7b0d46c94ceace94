"""Images, labels and weights given by hand: every problem is named at once. More in `test_estimator_errors.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from seefit.arguments import check_classes, known_labels, labelled, read_paths, refuse_arguments
from seefit.errors import DataError, UsageError


def test_paths_become_samples() -> None:
    assert [sample.path for sample in read_paths(["a.png", Path("b.png")])] == [Path("a.png"), Path("b.png")]
    with pytest.raises(UsageError, match=r"Bad image paths: X\. Expected a list of paths of image files, got 'a\.png'\."):
        read_paths("a.png")


def test_labels_weights_and_groups_are_put_together() -> None:
    first, second = labelled(read_paths(["a.png", "b.png"]), ["cat", "dog"], [1, 0.5], ["x", None])
    assert (first.label, first.weight, first.group) == ("cat", 1, "x")
    assert (second.label, second.weight, second.group) == ("dog", 0.5, None)


@pytest.mark.parametrize(("call", "failed"), [("fit", "Cannot learn from these images"), ("evaluate", "Cannot judge these images")])
def test_all_that_does_not_fit_is_named_with_what_it_was_given_to(call: str, failed: str) -> None:
    with pytest.raises(DataError) as failure:
        labelled(read_paths(["a.png", "b.png"]), ["cat"], [1, -1], ["x"], call=call)  # type: ignore[arg-type]
    lines = failure.value.message.splitlines()
    assert [line.split(". Expected")[0] for line in lines] == [f"{failed}: labels", f"{failed}: groups", f"{failed}: sample_weight"]


def test_classes_must_be_two_that_differ() -> None:
    with pytest.raises(DataError, match="got 'cat'"):
        check_classes(["cat"])
    with pytest.raises(DataError, match="got 'cat' and 'Cat'"):
        check_classes(["cat", "Cat"])


def test_labels_must_be_known() -> None:
    assert known_labels(["b", "a", "b"], ["a", "b"]) == [1, 0, 1]
    with pytest.raises(DataError, match=r"Cannot judge these images: y\. Expected the model's classes \(a, b\), got 'c', 'd'\."):
        known_labels(["d", "a", "c"], ["a", "b"])


def test_arguments_without_effect_are_refused() -> None:
    refuse_arguments({"out": None}, "x", "y")
    with pytest.raises(UsageError, match=r"Argument without effect: out\. Expected the name of a data set, got paths and labels\."):
        refuse_arguments({"out": "run"}, "the name of a data set", "paths and labels")
