"""The split: given parts win, units are whole, the same data give the same split in any order."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seefit.data.dataset import Sample
from seefit.data.split import k_folds, make_split
from seefit.errors import DataError, UsageError


def sample(name: str, label: str, **more: str | float | None) -> Sample:
    return Sample(Path("/data") / name, name, label, **more)  # type: ignore[arg-type]


def photos(counts: dict[str, int], *, split: str | None = None) -> list[Sample]:
    """Return ``counts[label]`` samples per label."""
    return [sample(f"{split or ''}/{label}/{i}.jpg", label, split=split) for label, count in counts.items() for i in range(count)]


def digests(samples: Sequence[Sample]) -> list[str]:
    return [hashlib.sha256(item.name.encode()).hexdigest() for item in samples]


def parts_by_class(samples: Sequence[Sample], parts: Sequence[str]) -> dict[str, Counter[str]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for item, part in zip(samples, parts, strict=True):
        table[item.label or ""][part] += 1
    return table


def split_alone(samples: list[Sample], **options: float | None) -> list[str]:
    """Split samples without duplicates."""
    return make_split(samples, digests(samples), range(len(samples)), **options).parts  # type: ignore[arg-type]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Sample], list[str], list[int]]:
    """Draw images with groups, exact duplicates and near-duplicate clusters."""
    n_classes = draw(st.integers(1, 3))
    kin = st.tuples(st.integers(-12, 12), st.integers(0, 200), st.integers(-12, 12))  # below 0: no group, no cluster
    rows = draw(st.lists(kin, min_size=8, max_size=60))
    labels = ["abc"[number % n_classes] for number in range(len(rows))]
    samples = [
        sample(f"{label}/{number}.png", label, group=str(row[0]) if row[0] >= 0 else None)
        for number, (label, row) in enumerate(zip(labels, rows, strict=True))
    ]
    sha256 = [hashlib.sha256(f"{label}{row[1]}".encode()).hexdigest() for label, row in zip(labels, rows, strict=True)]
    return samples, sha256, [row[2] for row in rows]


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_units_are_whole_and_the_order_of_files_never_matters(
    table: tuple[list[Sample], list[str], list[int]], seed: int, shuffle: random.Random
) -> None:
    samples, sha256, clusters = table
    order = list(range(len(samples)))
    shuffle.shuffle(order)
    try:
        split = make_split(samples, sha256, clusters, seed=seed)
    except DataError as error:
        with pytest.raises(DataError) as again:
            make_split([samples[i] for i in order], [sha256[i] for i in order], [clusters[i] for i in order], seed=seed)
        assert str(again.value) == str(error)
        return
    other = make_split([samples[i] for i in order], [sha256[i] for i in order], [clusters[i] for i in order], seed=seed)
    assert other.parts == [split.parts[i] for i in order]
    assert other.units == [split.units[i] for i in order]
    for values in ([item.group for item in samples], sha256, [c if c >= 0 else None for c in clusters], split.units):
        sides: dict[object, set[str]] = defaultdict(set)
        for value, part in zip(values, split.parts, strict=True):
            sides[value].add(part)
        assert all(len(found) == 1 for value, found in sides.items() if value is not None)
    for found in parts_by_class(samples, split.parts).values():
        assert set(found) == {"train", "val", "test"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(20, 70), min_size=1, max_size=5), st.sampled_from([0.0, 0.1, 0.15, 0.25]), st.sampled_from([0.0, 0.2, 0.3]))
def test_without_groups_every_class_is_less_than_one_image_off(sizes: list[int], val: float, test: float) -> None:
    samples = photos({str(label): size for label, size in enumerate(sizes)})
    for label, got in parts_by_class(samples, split_alone(samples, val=val, test=test)).items():
        total = sizes[int(label)]
        for part, share in (("train", 1 - val - test), ("val", val), ("test", test)):
            assert abs(got[part] - share * total) < 1


def test_connections_are_transitive() -> None:
    samples = photos({"a": 12})
    samples[0] = sample("x", "a", group="g")
    samples[1] = sample("y", "a", group="g")
    sha256 = digests(samples)
    sha256[2] = sha256[1]
    split = make_split(samples, sha256, [-1, -1, 7, 7, *[-1] * 8])
    assert len(set(split.units[:4])) == 1
    assert len(set(split.units)) == 9


def test_the_seed_draws_and_the_path_prefix_does_not() -> None:
    samples = photos({"a": 50, "b": 50})
    moved = [Sample(Path("/elsewhere") / item.name, f"deep/{item.name}", item.label) for item in samples]
    first = make_split(samples, digests(samples), range(100), seed=1)
    assert make_split(moved, digests(samples), range(100), seed=1).parts == first.parts
    assert make_split(samples, digests(samples), range(100), seed=2).parts != first.parts


def test_the_split_of_known_data_never_changes() -> None:
    samples = photos({"a": 10, "b": 4})
    short = "".join(part[1] for part in split_alone(samples))  # tRain, vAl, tEst
    assert short == "rrerrarrraearr"


def test_index_gives_positions() -> None:
    split = make_split(samples := photos({"a": 20}), digests(samples), range(20))
    assert [split.parts[i] for i in split.index("val")] == ["val"] * 3
    assert sorted(np.concatenate([split.index(part) for part in ("train", "val", "test")])) == list(range(20))


def test_a_minority_of_one_in_a_thousand_is_in_every_part() -> None:
    samples = photos({"common": 3000, "rare": 3})
    assert parts_by_class(samples, split_alone(samples))["rare"] == {"train": 1, "val": 1, "test": 1}


def test_ten_thousand_classes_of_three_images_are_fast() -> None:
    samples = photos({str(label): 3 for label in range(10_000)})
    sha256 = digests(samples)
    started = time.process_time()
    assert Counter(make_split(samples, sha256, range(30_000)).parts) == {"train": 10_000, "val": 10_000, "test": 10_000}
    assert time.process_time() - started < 6  # about 1 s; room for a busy machine


def test_every_class_that_is_too_small_is_named() -> None:
    samples = photos({"cat": 9, "dog": 2, "eel": 4})
    clusters = [*range(11), 50, 50, 50, 50]
    with pytest.raises(DataError) as caught:
        make_split(samples, digests(samples), clusters)
    assert caught.value.message == (
        "Class too small to split: dog. Expected at least 3 images or groups, one each for train, val, test, got 2.\n"
        "Class too small to split: eel. Expected at least 3 images or groups, one each for train, val, test, "
        "got 1 (4 images, some of which belong together)."
    )
    assert caught.value.hint == "Add images of the class, leave it out, or ask for fewer parts with --test 0 or --val 0."
    assert set(split_alone(photos({"cat": 9, "dog": 2}), test=0)) == {"train", "val"}
    assert set(split_alone(photos({"cat": 1}), test=0, val=0)) == {"train"}


def test_groups_that_mix_classes_so_that_no_split_exists() -> None:
    names = {"a": "xz", "b": "xy", "c": "yz"}  # each class in two of three groups, two parts
    samples = [sample(f"{label}{group}", label, group=group) for label, groups in names.items() for group in groups]
    with pytest.raises(DataError, match=r"^Cannot split by group: \w\. Expected images in every part, got none in (train|val)\."):
        split_alone(samples, test=0)


def test_shares_that_groups_make_impossible_are_said() -> None:
    samples = photos({"a": 10})
    split = make_split(samples, digests(samples), [0] * 6 + [1] * 2 + [2] * 2)
    assert split.notes == [
        "Shares of the images: train 60% instead of 70%, val 20% instead of 15%, test 20% instead of 15%; "
        "groups and duplicates stay together and every class needs an image in every part."
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": -0.1}, "Cannot split the images: --val. Expected a share of all images of at least 0 and below 1, got -0.1."),
        ({"val": float("nan")}, "Cannot split the images: --val. Expected a share of all images of at least 0 and below 1, got nan."),
        ({"test": 15}, "Cannot split the images: --test. Expected a share of all images of at least 0 and below 1, got 15."),
        (
            {"val": 0.5, "test": 0.5},
            "Cannot split the images: --val and --test. Expected shares that leave images to train on, got 1 in all.",
        ),
        (
            {"test_from_val": 1},
            "Cannot split the images: --test-from-val. Expected a share of the validation part between 0 and 1, got 1.",
        ),
        (
            {"test_from_val": 0.2, "val": 0},
            "Cannot split the images: --test-from-val. Expected a validation part to cut the test part from (--val above 0), got 0.",
        ),
    ],
)
def test_shares_that_cannot_be_met(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_alone(photos({"a": 40}), **options)
    assert caught.value.message == message
    assert caught.value.hint == "Give shares such as --val 0.15 --test 0.15."


# ---- a given split --------------------------------------------------------------------------------------------


def test_a_complete_given_split_is_kept() -> None:
    samples = photos({"a": 2}, split="train") + photos({"a": 5}, split="val") + photos({"a": 7}, split="test")
    assert split_alone(samples) == ["train"] * 2 + ["val"] * 5 + ["test"] * 7


def test_train_and_val_alone_have_no_test_part_unless_asked() -> None:
    samples = photos({"a": 20, "b": 20}, split="train") + photos({"a": 10, "b": 10}, split="val")
    split = make_split(samples, digests(samples), range(60))
    assert split.parts == ["train"] * 40 + ["val"] * 20
    assert split.notes == [
        "The data come with a training and a validation part only, so there is no test part; --test-from-val 0.2 makes one."
    ]
    moved = make_split(samples, digests(samples), range(60), test_from_val=0.2)
    assert moved.parts[:40] == ["train"] * 40
    assert parts_by_class(samples[40:], moved.parts[40:]) == {"a": {"val": 8, "test": 2}, "b": {"val": 8, "test": 2}}
    assert moved.notes == []


def test_train_and_test_alone_give_val_from_train_as_a_share_of_all() -> None:
    samples = photos({"a": 40, "b": 40}, split="train") + photos({"a": 10, "b": 10}, split="test")
    split = make_split(samples, digests(samples), range(100), val=0.2)
    assert Counter(split.parts) == {"train": 60, "val": 20, "test": 20}
    assert split.parts[80:] == ["test"] * 20
    assert split_alone(samples, val=0) == ["train"] * 80 + ["test"] * 20
    with pytest.raises(UsageError, match=r"Expected less than the 80\.0% of the images that the given train holds, got 0\.8\."):
        split_alone(samples, val=0.8)


def test_train_alone_is_cut_like_data_without_a_split() -> None:
    assert Counter(split_alone(photos({"a": 20}, split="train"))) == {"train": 14, "val": 3, "test": 3}


def test_test_from_val_without_a_given_split_takes_the_place_of_test() -> None:
    assert Counter(split_alone(photos({"a": 100}), val=0.3, test_from_val=0.2)) == {"train": 70, "val": 24, "test": 6}


def test_test_from_val_beside_a_given_test_part() -> None:
    samples = photos({"a": 4}, split="train") + photos({"a": 4}, split="test")
    with pytest.raises(UsageError) as caught:
        split_alone(samples, test_from_val=0.2)
    assert caught.value.message == "Cannot cut a test part: --test-from-val. Expected data without one, got a given test part."


def test_rows_without_a_split_beside_others_go_to_train() -> None:
    samples = photos({"a": 4}) + photos({"a": 3}, split="val") + photos({"a": 3}, split="test")
    split = make_split(samples, digests(samples), range(10))
    assert split.parts == ["train"] * 4 + ["val"] * 3 + ["test"] * 3
    assert split.notes == ["4 of 10 images have no split while others do: they go to train."]


def test_classes_missing_from_given_parts() -> None:
    train, test = photos({"a": 9, "b": 9}, split="train"), photos({"a": 9}, split="test")
    split = make_split(samples := train + test, digests(samples), range(27), val=0.1)
    assert split.notes == ["The given test part has no image of 1 of 2 classes: b."]
    with pytest.raises(DataError) as caught:
        split_alone(train + photos({"c": 2}, split="val") + photos({"c": 1, "d": 1}, split="test"))
    assert caught.value.message == (
        "Class missing from train: c. Expected images in the given train, got images in val and test only.\n"
        "Class missing from train: d. Expected images in the given train, got images in test only."
    )


# ---- folds ----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=30, max_size=90), st.integers(2, 6), st.randoms(use_true_random=False))
def test_folds_hold_every_image_out_once_and_keep_units_whole(labels: list[int], k: int, shuffle: random.Random) -> None:
    units = [number // 2 if number < 20 else number for number in range(len(labels))]
    try:
        folds = k_folds(labels, units, k=k, seed=0)
    except ValueError:
        assert min(len({unit for unit, own in zip(units, labels, strict=True) if own == label}) for label in set(labels)) < 2
        return
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(len(labels)))
    order = list(range(len(labels)))
    shuffle.shuffle(order)
    again = k_folds([labels[i] for i in order], [units[i] for i in order], k=k, seed=0)
    for (train, held), (_, other) in zip(folds, again, strict=True):
        assert sorted([*train, *held]) == list(range(len(labels)))
        assert not {units[i] for i in train} & {units[i] for i in held}
        assert {labels[i] for i in train} == set(labels)
        assert sorted(order[i] for i in other) == held.tolist()


def test_folds_are_stratified_and_even() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 23])
    for _, held in k_folds(labels, np.arange(103), k=5, seed=3):
        assert 20 <= len(held) <= 21
        assert np.bincount(labels[held]).tolist() in ([10, 6, 4], [10, 6, 5])


def test_fewer_folds_when_a_class_is_small() -> None:
    assert len(k_folds([0] * 20 + [1] * 3, np.arange(23), k=5, seed=0)) == 3
    with pytest.raises(ValueError, match="at least two separate images or groups of every class"):
        k_folds([0, 0, 0, 1, 1], [0, 1, 2, 3, 3], k=5, seed=0)
