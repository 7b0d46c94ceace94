"""Samples and what a dataset says of itself."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from seefit import Dataset
from seefit.data.dataset import Sample, Skip, colliding_classes, counts, natural_order
from test_listing import touch


def dataset(*labels: tuple[str, str | None], classes: tuple[str, ...] = ("cat", "dog"), given: bool = False) -> Dataset:
    samples = [Sample(Path(f"{i}.jpg"), f"{i}.jpg", label, split) for i, (label, split) in enumerate(labels)]
    return Dataset("pets", Path(), samples, classes, given_split=given)


def test_natural_order_does_not_depend_on_the_input() -> None:
    names = ["10", "2", "1", "02", "a10b", "a9b", "É", "e", "ca\udce9", "", "B"]
    random.Random(0).shuffle(shuffled := list(names))
    assert natural_order(names) == natural_order(shuffled)
    assert natural_order(["10", "9", "x2", "x10"]) == ["9", "10", "x2", "x10"]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["cat", "dog", "cats"], []),
        (["cat", "Cat", "CAT"], [("cat", "Cat"), ("cat", "CAT")]),
        (["caf\u00e9", "cafe\u0301", "cafe"], [("caf\u00e9", "cafe\u0301")]),
        (["straße", "STRASSE"], [("straße", "STRASSE")]),
        (["cat ", "cat"], [("cat ", "cat")]),
        (["ca\udce9", "ca\udcea"], []),
    ],
)
def test_colliding_classes(names: list[str], pairs: list[tuple[str, str]]) -> None:
    assert colliding_classes(names) == pairs


def test_counts() -> None:
    assert counts(dataset(("cat", None), ("dog", None), ("cat", None)).samples) == {"cat": 2, "dog": 1}


def test_balance_without_splits_counts_empty_classes() -> None:
    pets = dataset(("dog", None), ("dog", None), classes=("cat", "dog"))
    assert pets.balance() == {"all": {"cat": 0, "dog": 2}}


def test_balance_by_split_in_the_usual_order() -> None:
    pets = dataset(("dog", "test"), ("cat", "train"), ("cat", "train"), given=True)
    assert list(pets.balance().items()) == [("train", {"cat": 2, "dog": 0}), ("test", {"cat": 0, "dog": 1})]


def test_repr_is_one_line() -> None:
    pets = dataset(("dog", "test"), ("cat", "train"), given=True)
    assert repr(pets) == "<Dataset 'pets': 2 images, 2 classes, given split>"
    pets.skips.append(Skip("x", "y", 0))
    pets.samples.append(Sample(Path("x"), "x", "cat", "train", group="g"))
    assert repr(pets) == "<Dataset 'pets': 3 images, 2 classes, given split, 1 groups, 1 left out>"


def test_html_is_escaped_and_short() -> None:
    evil = ("<script>alert(1)</script>", "a&b", "ca\udce9")
    html = dataset(*((name, None) for name in evil), classes=evil)._repr_html_()
    assert "<script>" not in html
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>1</td>" in html
    assert "<td>a&amp;b</td>" in html
    html.encode("utf-8")
    many = tuple(map(str, range(1000)))
    assert dataset(*((name, None) for name in many), classes=many)._repr_html_().count("<tr>") == 32


def test_read_passes_options_on(tmp_path: Path) -> None:
    touch(tmp_path, "cat_1.jpg", "dog_1.jpg")
    assert Dataset.read(tmp_path, labels="/(cat|dog)_").classes == ("cat", "dog")
