from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seefit.data.dataset import Sample
from seefit.data.growth import grow_split
from seefit.data.scan import Scan
from seefit.data.split import Split
from seefit.errors import DataError

Row = tuple[str, str | None]  # label, part
SHARES = {"val": 0.15, "test": 0.15}


def sha256(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def make_scan(old: Sequence[Row], new: Sequence[Row], **given: Any) -> Scan:
    """Return a scan of images ``old-0 …`` and ``new-0 …``; ``clusters`` and ``groups`` name what belongs together."""
    rows = [(f"old-{i}", *row) for i, row in enumerate(old)] + [(f"new-{i}", *row) for i, row in enumerate(new)]
    groups: dict[str, str] = given.get("groups", {})
    clusters: dict[str, int] = given.get("clusters", {})
    return Scan(
        [Sample(Path(name), name, label, part, groups.get(name)) for name, label, part in rows],
        [sha256(name) for name, _, _ in rows],
        np.full((len(rows), 2), 32),
        [clusters.get(name, 1000 + i) for i, (name, _, _) in enumerate(rows)],
    )


def grow(seen: Scan, **given: Any) -> tuple[dict[str, str], Split, Scan]:
    """Return the part of each image by its name, the split and the scan."""
    older = {sample.name for sample in seen.samples if sample.name.startswith("old")}
    placed, split = grow_split(seen, older, **{**SHARES, **given})
    return {sample.name: part for sample, part in zip(placed.samples, split.parts, strict=True)}, split, placed


OLD: list[Row] = [(label, part) for part, count in (("train", 14), ("val", 3), ("test", 3)) for label in ("a", "b") for _ in range(count)]


def test_older_images_stay_and_new_ones_are_divided_in_the_same_shares() -> None:
    parts, split, placed = grow(make_scan(OLD, [("c", None)] * 40 + [("a", None)] * 20))
    assert [parts[f"old-{i}"] for i in range(len(OLD))] == [part for _, part in OLD]
    new = {label: Counter(parts[f"new-{i}"] for i in numbers) for label, numbers in (("c", range(40)), ("a", range(40, 60)))}
    assert new == {"c": {"train": 28, "val": 6, "test": 6}, "a": {"train": 14, "val": 3, "test": 3}}
    assert split.notes == []
    assert [sample.split for sample in placed.samples] == split.parts


def test_another_seed_divides_the_new_images_otherwise_and_the_same_seed_alike() -> None:
    seen = make_scan(OLD, [("c", None)] * 40)
    one, again, other = (grow(seen, seed=seed)[0] for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert {name: part for name, part in one.items() if name.startswith("old")} == {
        name: part for name, part in other.items() if name.startswith("old")
    }


def test_what_belongs_with_older_images_goes_to_their_side() -> None:
    seen = make_scan(
        OLD,
        [("a", None)] * 4 + [("c", None)] * 30,
        clusters={"old-0": 1, "new-0": 1, "old-39": 2, "new-1": 2},
        groups={"old-28": "g", "new-2": "g", "new-3": "g"},
    )
    parts, split, placed = grow(seen)
    assert (parts["old-0"], parts["new-0"]) == ("train", "train")
    assert (parts["old-39"], parts["new-1"]) == ("test", "test")
    assert [parts[name] for name in ("old-28", "new-2", "new-3")] == ["val", "val", "val"]
    assert split.notes == ["4 new images belong with earlier ones and keep to their side."]
    assert placed.near_leaks == []
    assert len({split.units[i] for i in (28, 42, 43)}) == 1


@pytest.mark.parametrize(
    ("sides", "side"), [(("train", "test"), "test"), (("train", "val"), "val"), (("val", "test"), "test"), (("train", "train"), "train")]
)
def test_what_belongs_with_several_sides_keeps_out_of_training(sides: tuple[str, str], side: str) -> None:
    """A look-alike of one older image in a group with another goes where it is not learnt from, and the leak is told."""
    old: list[Row] = [*OLD, ("a", sides[0]), ("a", sides[1])]
    seen = make_scan(old, [("a", None), *[("c", None)] * 30], clusters={"old-40": 1, "new-0": 1}, groups={"old-41": "g", "new-0": "g"})
    parts, _, placed = grow(seen)
    assert parts["new-0"] == side
    assert placed.near_leaks == ([] if side == sides[0] else [["old-40", "new-0"]])


def test_too_few_new_images_of_an_older_class_go_to_train() -> None:
    parts, split, _ = grow(make_scan(OLD, [("a", None)] * 2 + [("c", None)] * 30))
    assert [parts["new-0"], parts["new-1"]] == ["train", "train"]
    assert split.notes == ["2 new images, too few of their class to be in every part, go to train (a)."]


def test_taking_few_images_to_train_can_leave_too_few_of_another_class() -> None:
    """The two units of class a go to train; one of them holds an image of class b, of which two units are left: too few as well."""
    new: list[Row] = [("a", None), ("b", None), ("a", None), ("b", None), ("b", None)]
    parts, split, _ = grow(make_scan(OLD, new, groups={"new-0": "g", "new-1": "g"}))
    assert {parts[f"new-{i}"] for i in range(5)} == {"train"}
    assert split.notes == ["5 new images, too few of their class to be in every part, go to train (a, b)."]


def test_too_few_images_of_a_new_class_are_an_error() -> None:
    with pytest.raises(DataError) as caught:
        grow(make_scan(OLD, [("c", None)] * 2))
    assert caught.value.message.startswith(
        "Class too small to split: c. Expected at least 3 images or groups, one each for train, val, test"
    )


def test_without_a_part_none_is_cut() -> None:
    old: list[Row] = [(label, "train") for label in "ab" for _ in range(5)]
    parts, _, _ = grow(make_scan(old, [("c", None)] * 3), val=0, test=0)
    assert set(parts.values()) == {"train"}


def test_a_split_that_the_new_images_carry_wins_but_not_against_an_older_image() -> None:
    new: list[Row] = [("c", "train"), ("c", "test"), ("a", "test"), ("c", "train")]
    parts, split, _ = grow(make_scan(OLD, new, clusters={"old-0": 1, "new-2": 1}))
    assert [parts[f"new-{i}"] for i in range(4)] == ["train", "test", "train", "train"]
    assert split.notes == ["1 new images belong with earlier ones and keep to their side."]


def test_a_new_class_that_is_not_trained_is_an_error() -> None:
    with pytest.raises(DataError, match=r"^Class missing from train: c\. Expected images in the given train, got images in test only\."):
        grow(make_scan(OLD, [("c", "test"), ("a", "train")]))
