"""From what the user names to samples: folders, given splits, patterns, groups, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest.mock import Mock

import pytest

from seefit.data import listing
from seefit.data.sources import list_images, read_dataset
from seefit.errors import DataError, UsageError
from test_listing import ODD_NAMES, touch


def labels_of(root: Path, labels: str = "folder") -> dict[str, str | None]:
    return {sample.name: sample.label for sample in read_dataset(root, labels=labels).samples}


def splits_of(root: Path) -> dict[str, str | None]:
    return {sample.name: sample.split for sample in read_dataset(root).samples}


def test_the_first_level_is_the_class(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "cat/deep/er/1.jpg", "dog/1.jpg", "10/1.jpg", "2/1.jpg")
    (tmp_path / "empty").mkdir()
    dataset = read_dataset(str(tmp_path))
    assert {s.name: s.label for s in dataset.samples} == {
        "2/1.jpg": "2",
        "10/1.jpg": "10",
        "cat/1.jpg": "cat",
        "cat/deep/er/1.jpg": "cat",
        "dog/1.jpg": "dog",
    }
    assert dataset.classes == ("2", "10", "cat", "dog", "empty")
    assert dataset.samples[0].path == tmp_path / "2/1.jpg"
    assert (dataset.given_split, dataset.has_groups, dataset.source, dataset.root) == (False, False, str(tmp_path), tmp_path)
    assert dataset.samples[0].weight == 1.0


def test_loose_images_are_reported_and_not_used(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg", *(f"loose{i}.jpg" for i in range(7)))
    dataset = read_dataset(tmp_path)
    assert len(dataset) == 2
    assert dataset.notes == [
        "Not used: 7 loose images beside the class folders (loose0.jpg, loose1.jpg, loose2.jpg, loose3.jpg, loose4.jpg, … 7 in all)."
    ]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_given_split_folders(tmp_path: Path, val: str) -> None:
    touch(tmp_path, "train/cat/1.jpg", "train/dog/x/1.jpg", f"{val}/cat/1.jpg", "test/dog/1.jpg")
    (tmp_path / "test/bird").mkdir()
    dataset = read_dataset(tmp_path)
    assert {s.name: (s.label, s.split) for s in dataset.samples} == {
        "train/cat/1.jpg": ("cat", "train"),
        "train/dog/x/1.jpg": ("dog", "train"),
        f"{val}/cat/1.jpg": ("cat", "val"),
        "test/dog/1.jpg": ("dog", "test"),
    }
    assert dataset.given_split
    assert dataset.classes == ("bird", "cat", "dog")


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/1.jpg", "bus/1.jpg")
    dataset = read_dataset(tmp_path)
    assert dataset.classes == ("bus", "test", "train")
    assert not dataset.given_split


@pytest.mark.parametrize("folders", [("val", "test"), ("val", "valid")])
def test_split_folders_need_a_training_part(tmp_path: Path, folders: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{name}/cat/1.jpg" for name in folders))
    assert splits_of(tmp_path) == dict.fromkeys([f"{name}/cat/1.jpg" for name in sorted(folders)])


def test_single_wrapping_folders_are_looked_through(tmp_path: Path) -> None:
    touch(tmp_path, "pets/v2/cat/1.jpg", "pets/v2/dog/1.jpg", "README.txt", "__MACOSX/x.jpg")
    assert labels_of(tmp_path) == {"pets/v2/cat/1.jpg": "cat", "pets/v2/dog/1.jpg": "dog"}


def test_wrapped_split_folders(tmp_path: Path) -> None:
    touch(tmp_path, "pets/train/cat/1.jpg", "pets/test/cat/1.jpg")
    assert splits_of(tmp_path) == {"pets/test/cat/1.jpg": "test", "pets/train/cat/1.jpg": "train"}


def test_one_class_is_not_a_wrapping_folder(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "cat/deep/2.jpg")
    assert set(labels_of(tmp_path).values()) == {"cat"}


def test_pattern_as_in_oxford_pets(tmp_path: Path) -> None:
    names = ["images/great_pyrenees_10.jpg", "images/Abyssinian_2.jpg", "images/note.jpg"]
    touch(tmp_path, *names, *(f"images/odd{i}.png" for i in range(6)))
    dataset = read_dataset(tmp_path, labels=r"/([^/]+)_\d+.jpg$")
    assert [(s.name, s.label) for s in dataset.samples] == [(names[1], "Abyssinian"), (names[0], "great_pyrenees")]
    assert dataset.notes == [
        r"Not used: 7 images whose name does not match /([^/]+)_\d+.jpg$ "
        "(images/note.jpg, images/odd0.png, images/odd1.png, images/odd2.png, images/odd3.png, … 7 in all)."
    ]


def test_pattern_sees_a_slash_before_the_path(tmp_path: Path) -> None:
    touch(tmp_path, "cat_1.jpg", "dog_1.jpg")
    assert labels_of(tmp_path, r"^/(cat|dog)_") == {"cat_1.jpg": "cat", "dog_1.jpg": "dog"}


def test_pattern_keeps_given_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat_1.jpg", "test/dog_1.jpg")
    dataset = read_dataset(tmp_path, labels=r"/(\w+)_\d+\.jpg")
    assert [(s.label, s.split) for s in dataset.samples] == [("dog", "test"), ("cat", "train")]
    assert dataset.given_split


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("floder", "Cannot use the pattern: --labels. Expected a pattern with a group in brackets, got 'floder'."),
        (
            "([",
            "Cannot read the pattern: --labels. Expected a regular expression, got '([': unterminated character set at position 1.",
        ),
    ],
)
def test_bad_patterns(tmp_path: Path, pattern: str, message: str) -> None:
    touch(tmp_path, "cat/1.jpg")
    with pytest.raises(UsageError) as caught:
        read_dataset(tmp_path, labels=pattern)
    assert caught.value.message == message
    assert r"'/([^/]+)_\d+\.jpg$'" in caught.value.hint


def test_a_pattern_without_match_names_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "cat.jpg")
    with pytest.raises(DataError, match=r"got 1 images and no match \(cat.jpg\)"):
        read_dataset(tmp_path, labels="/(x)")


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected one folder per class with images inside, got no image"):
        read_dataset(tmp_path)
    touch(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(DataError, match=r"got 2 images outside of class folders \(1.jpg, 2.jpg\)"):
        read_dataset(tmp_path)


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match=r"got 2 empty folders \(cat, dog\)"):
        read_dataset(tmp_path)


def test_class_names_that_look_the_same(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "Cat/1.jpg", "caf\u00e9/1.jpg", "cafe\u0301/1.jpg", "dog/1.jpg")
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path)
    assert caught.value.exit_code == 3
    lines = caught.value.message.split("\n")
    assert len(lines) == 2
    assert "got 'Cat' and 'cat'." in caught.value.message
    assert "'cafe\u0301'" in caught.value.message
    assert "'caf\u00e9'" in caught.value.message


def test_class_names_stay_as_the_user_wrote_them(tmp_path: Path) -> None:
    names = [name.removesuffix(".jpg").strip() for name in ODD_NAMES] + ["label", "path", "p:x", "cafe\u0301"]
    touch(tmp_path, *(f"{name}/1.jpg" for name in names))
    dataset = read_dataset(tmp_path)
    assert set(dataset.classes) == set(names)
    assert {s.label for s in dataset.samples} == set(names)


def test_groups_by_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "cat/p1_1.jpg", "cat/p1_2.jpg", "dog/p2_1.jpg", "dog/x.jpg")
    dataset = read_dataset(tmp_path, group_by=r"/(p\d+)_")
    assert [s.group for s in dataset.samples] == ["p1", "p1", "p2", None]
    assert dataset.notes == [r"1 images do not match /(p\d+)_ and are in no group (dog/x.jpg)."]
    assert not read_dataset(tmp_path, group_by="none").has_groups


def test_group_pattern_needs_a_group(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg")
    with pytest.raises(UsageError, match=r"Cannot use the pattern: --group-by\."):
        read_dataset(tmp_path, group_by="patient")


def write_csv(path: Path, text: str = "path,label,patient\ncat/1.jpg,a,x1\ndog/1.jpg,b,\n") -> Path:
    path.write_text(text)
    touch(path.parent, "cat/1.jpg", "dog/1.jpg")
    return path


def test_a_csv_is_known_by_its_name(tmp_path: Path) -> None:
    dataset = read_dataset(write_csv(tmp_path / "list.csv"), group_by="patient")
    assert [(s.label, s.group) for s in dataset.samples] == [("a", "x1"), ("b", None)]
    by_name = read_dataset(tmp_path / "list.csv", group_by="/(cat|dog)/")
    assert [s.group for s in by_name.samples] == ["cat", "dog"]


def test_unknown_group_column_names_the_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_dataset(write_csv(tmp_path / "list.csv"), group_by="pateint")
    assert caught.value.hint.endswith("or a column: path, label, patient.")


@pytest.mark.parametrize("folder", ["", "wrapped/"])
def test_a_folder_with_metadata(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    write_csv(tmp_path / folder / "metadata.csv", "file_name,label\ncat/1.jpg,a\ndog/1.jpg,b\n")
    dataset = read_dataset(tmp_path, labels="csv")
    assert [(s.name, s.label) for s in dataset.samples] == [("cat/1.jpg", "a"), ("dog/1.jpg", "b")]


def test_which_csv_of_a_folder(tmp_path: Path) -> None:
    write_csv(tmp_path / "one.csv")
    assert len(read_dataset(tmp_path, labels="csv")) == 2
    write_csv(tmp_path / "two.csv")
    with pytest.raises(DataError, match=r"Expected metadata.csv or a single CSV in the folder, got one.csv, two.csv\."):
        read_dataset(tmp_path, labels="csv")


def test_sources_that_are_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "cat/1.jpg")
    for source, got in [("a.jpg", "another kind of file"), ("nope", "nothing at this place")]:
        with pytest.raises(UsageError) as caught:
            read_dataset(tmp_path / source)
        assert caught.value.message == (
            f"Cannot read the data: {tmp_path / source}. "
            f"Expected a folder, a CSV, a zip or tar archive, the URL of one, or demo:elpv, got {got}."
        )
    with pytest.raises(UsageError, match="Expected a CSV with --root, got root = x"):
        read_dataset(tmp_path, root=Path("x"))
    with pytest.raises(UsageError, match="Expected an archive or its URL with --sha256"):
        read_dataset(tmp_path, sha256="0" * 64)


def test_images_to_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "in/10.jpg", "in/2.jpg", "in/sub/1.png", "in/.hid/1.jpg", "in/a.txt", "photo", *(f"in/{name}" for name in ODD_NAMES))
    found = list(list_images(["photo", Path("in")]))
    assert {s.name for s in found} == {"photo", "in/2.jpg", "in/10.jpg", "in/sub/1.png", *(f"in/{name}" for name in ODD_NAMES)}
    assert [s.name for s in found if s.name[3:5] in {"2.", "10", "su"}] == ["in/2.jpg", "in/10.jpg", "in/sub/1.png"]
    assert {s.label for s in found} == {None}
    assert all(s.path.is_file() for s in found)


def test_missing_images_are_all_named_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(UsageError) as caught:
        list_images([tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c"])
    assert [line.split(". ")[0] for line in caught.value.message.split("\n")] == [
        f"Cannot find the images: {tmp_path / 'b.jpg'}",
        f"Cannot find the images: {tmp_path / 'c'}",
    ]


def test_images_stream_folder_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"{i}/1.jpg" for i in range(20)))
    read = Mock(wraps=listing._read_level)
    monkeypatch.setattr(listing, "_read_level", read)
    assert len(list(itertools.islice(list_images([tmp_path]), 3))) == 3
    assert read.call_count == 4
