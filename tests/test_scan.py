"""The scan as a whole: duplicates, conflicts, leaks, and what stops a training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seefit.data import findings
from seefit.data.dataset import Dataset, Sample, Skip
from seefit.data.image import Unreadable, read_file
from seefit.data.scan import Scan, check_usable, scan, subset
from seefit.data.sources import read_dataset
from seefit.errors import DataError

PhotoFolder = Callable[..., Path]


def look(source: Path | Dataset) -> tuple[Scan, Dataset]:
    dataset = source if isinstance(source, Dataset) else read_dataset(str(source))
    return scan(dataset), dataset


def problems(source: Path | Dataset, *, parts: int = 1, max_skipped: float = 0.01, allow_leak: bool = False) -> list[str]:
    """The messages of `check_usable`, one per problem, with the source left out."""
    found, dataset = look(source)
    try:
        check_usable(found, dataset, parts=parts, max_skipped=max_skipped, allow_leak=allow_leak)
    except DataError as error:
        return error.message.replace(dataset.source, "DATA").split("\n")
    return []


def first(folder: Path) -> Path:
    return min(folder.iterdir())


def test_a_sound_folder(photo_folder: PhotoFolder) -> None:
    root = photo_folder(3)
    found, dataset = look(root)
    assert found.samples == dataset.samples
    assert found.sizes.tolist() == [[300, 300]] * 6
    assert found.formats == {"PNG": 6}
    assert found.modes == {"L": 6}
    assert len(set(found.clusters)) == len(set(found.sha256)) == 6
    assert (found.skips, found.unreadable, found.duplicates, found.near_duplicates, found.label_conflicts) == ([], [], [], [], [])
    check_usable(found, dataset, parts=3)


def test_the_second_scan_says_the_same(photo_folder: PhotoFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(3)
    one, _ = look(root)
    monkeypatch.setattr(findings, "decode_with_info", lambda *args, **options: pytest.fail("decoded again"))
    two, _ = look(root)
    assert (one.samples, one.sha256, one.clusters, one.warnings) == (two.samples, two.sha256, two.clusters, two.warnings)


def test_clusters_do_not_depend_on_the_order_of_files(photo_folder: PhotoFolder) -> None:
    root = photo_folder(6)
    copy = first(root / "defective")
    Image.open(copy).convert("L").save(root / "defective" / "copy.jpg", quality=90)
    found, dataset = look(root)
    dataset.samples.reverse()
    again = scan(dataset)
    assert again.clusters[::-1] == found.clusters


def test_broken_files_are_skipped_with_reason_and_size(photo_folder: PhotoFolder) -> None:
    root = photo_folder(3)
    data = first(root / "defective").read_bytes()
    broken = {"half.png": data[: len(data) // 2], "empty.jpg": b"", "page.jpg": b"<html>no</html>"}
    for name, content in broken.items():
        (root / "defective" / name).write_bytes(content)
    found, _ = look(root)
    assert found.skips == [
        Skip("defective/empty.jpg", "0 bytes", 0),
        Skip("defective/half.png", "truncated PNG", len(data) // 2),
        Skip("defective/page.jpg", "HTML page, not an image", 15),
    ]
    assert problems(root) == [
        "Too many images cannot be used: DATA. Expected at most 1 % skipped, got 3 of 9 (1 x 0 bytes, 1 x truncated PNG, 1 x HTML page).",
        "Too many images of one class cannot be used: 'defective'. Expected at most 20 % skipped, got 3 of 6.",
    ]
    assert problems(root, max_skipped=0.34) == [
        "Too many images of one class cannot be used: 'defective'. Expected at most 34 % skipped, got 3 of 6."
    ]
    assert problems(root, max_skipped=0.5) == []


@pytest.mark.parametrize(("good", "bad", "stops"), [(99, 1, False), (98, 1, True)])
def test_one_in_a_hundred_may_be_skipped(tmp_path: Path, good: int, bad: int, stops: bool) -> None:
    for i in range(good + bad):
        path = tmp_path / str(i % 2) / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), i).save(path)
        if i >= good:
            path.write_bytes(b"x")
    assert bool(problems(tmp_path)) == stops


def test_files_missing_from_a_table_count_and_links_do_not(photo_folder: PhotoFolder) -> None:
    root = photo_folder(4)
    (root / "defective" / "loop").symlink_to(root, target_is_directory=True)
    assert problems(root) == []
    found, dataset = look(root)
    dataset.skips.append(Skip("defective/gone.png", "file is missing", 0))
    found.skips.append(dataset.skips[-1])
    with pytest.raises(DataError, match=r"got 1 of 9 \(1 x file is missing\)"):
        check_usable(found, dataset, parts=1)


def test_unreadable_files_are_not_mixed_with_corrupt_ones(photo_folder: PhotoFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(4)
    secret = sorted((root / "defective").iterdir())[:2]

    def refuse(path: Path) -> bytes:
        if path in secret:
            raise Unreadable(path, PermissionError(13, "Permission denied"))
        return read_file(path)

    monkeypatch.setattr(findings, "read_file", refuse)
    found, _ = look(root)
    assert [skip.name for skip in found.unreadable] == [f"defective/{path.name}" for path in secret]
    assert found.skips == []
    assert problems(root) == [
        "Cannot read some files: DATA. Expected files that you may read, "
        f"got 2 that the system refuses, first defective/{secret[0].name} (Permission denied)."
    ]


def test_the_same_bytes_with_one_label_are_duplicates(photo_folder: PhotoFolder) -> None:
    root = photo_folder(3)
    copy = first(root / "defective")
    shutil.copy(copy, root / "defective" / "zcopy.png")
    found, _ = look(root)
    assert found.duplicates == [[f"defective/{copy.name}", "defective/zcopy.png"]]
    assert found.near_duplicates == found.leaks == []
    assert len(found.samples) == 7
    assert len(set(found.clusters)) == 6


def test_the_same_bytes_under_two_labels_are_left_out(photo_folder: PhotoFolder) -> None:
    root = photo_folder(5)
    copy = first(root / "defective")
    shutil.copy(copy, root / "functional" / "zcopy.png")
    found, _ = look(root)
    names = [f"defective/{copy.name}", "functional/zcopy.png"]
    assert found.label_conflicts == [names]
    assert not set(names) & {sample.name for sample in found.samples}
    assert [(skip.name, skip.reason) for skip in found.skips] == [
        (names[0], "same bytes as functional/zcopy.png, which is labelled 'functional'"),
        (names[1], f"same bytes as {names[0]}, which is labelled 'defective'"),
    ]
    assert problems(root) == [
        "Too many images cannot be used: DATA. Expected at most 1 % skipped, got 2 of 11 (2 x same bytes under another label)."
    ]
    assert problems(root, max_skipped=0.2) == []


def test_broken_files_with_the_same_bytes_are_no_conflict(photo_folder: PhotoFolder) -> None:
    root = photo_folder(2)
    for label in ("defective", "functional"):
        (root / label / "empty.png").touch()
    found, _ = look(root)
    assert found.label_conflicts == []
    assert [skip.reason for skip in found.skips] == ["0 bytes", "0 bytes"]


def test_images_without_labels_have_no_conflicts(photo_folder: PhotoFolder) -> None:
    root = photo_folder(2)
    path = first(root / "defective")
    samples = [Sample(path, name, None) for name in ("a.png", "b.png")]
    found, _ = look(Dataset("some files", root, samples, ()))
    assert found.duplicates == [["a.png", "b.png"]]
    assert problems(Dataset("some files", root, samples, ())) == []


def near_copy(path: Path, to: Path) -> None:
    picture = Image.open(path).convert("L")
    picture.resize((280, 280)).save(to, quality=85)


def test_near_duplicates_share_a_cluster_and_a_different_label_is_said(photo_folder: PhotoFolder) -> None:
    root = photo_folder(4)
    original = first(root / "defective")
    near_copy(original, root / "functional" / "zcopy.jpg")
    found, _ = look(root)
    assert found.near_duplicates == [[f"defective/{original.name}", "functional/zcopy.jpg"]]
    assert len(set(found.clusters)) == 8
    expected = f"first defective/{original.name} and functional/zcopy.jpg: a label may be wrong."
    assert found.warnings == [f"The images of 1 group of near-duplicates carry different labels, {expected}"]


@pytest.fixture
def given_split(photo_folder: PhotoFolder, tmp_path: Path) -> Path:
    root = tmp_path / "given"
    photo_folder(4, root=root / "train")
    photo_folder(2, root=root / "test", start=10)
    return root


def test_the_same_bytes_across_a_given_split_stop(given_split: Path) -> None:
    assert problems(given_split) == []
    original = first(given_split / "train" / "defective")
    shutil.copy(original, given_split / "test" / "defective" / "leak.png")
    found, _ = look(given_split)
    names = ["test/defective/leak.png", f"train/defective/{original.name}"]
    assert found.leaks == [names]
    assert problems(given_split) == [
        f"Leak across the given split: DATA. Expected each image in one part only, got 1 on several sides, first {' = '.join(names)}."
    ]
    assert problems(given_split, allow_leak=True) == []


def test_near_duplicates_across_a_given_split_are_listed(given_split: Path) -> None:
    original = first(given_split / "train" / "defective")
    near_copy(original, given_split / "test" / "defective" / "leak.jpg")
    found, _ = look(given_split)
    assert found.near_leaks == [["test/defective/leak.jpg", f"train/defective/{original.name}"]]
    assert found.leaks == []
    assert "stand across the given split" in found.warnings[-1]
    assert problems(given_split) == []


def test_a_class_that_the_given_training_part_lacks_stops(given_split: Path) -> None:
    shutil.rmtree(given_split / "train" / "functional")
    assert problems(given_split) == [
        "Empty classes: DATA. Expected images in the training part in every class, got 'functional'.",
        "Nothing to tell apart: DATA. Expected at least two classes with images, got 'defective'.",
    ]


def test_empty_single_and_small_classes_are_all_named(photo_folder: PhotoFolder) -> None:
    root = photo_folder(2)
    (root / "empty").mkdir()
    for label, colour in (("one", "red"), ("two", "blue")):
        (root / label).mkdir()
        Image.new("RGB", (9, 9), colour).save(root / label / "1.png")
    assert problems(root, parts=2) == [
        "Empty classes: DATA. Expected images that can be used in every class, got 'empty'.",
        "Classes too small: DATA. Expected at least 2 different images in every class, got 'one' with 1, 'two' with 1.",
    ]
    for label in ("empty", "one", "two", "functional"):
        shutil.rmtree(root / label)
    assert problems(root) == ["Nothing to tell apart: DATA. Expected at least two classes with images, got 'defective'."]


def test_copies_and_groups_count_once(photo_folder: PhotoFolder) -> None:
    root = photo_folder(3)
    for i in range(3):
        shutil.copy(first(root / "defective"), root / "defective" / f"{i}.png")
    dataset = read_dataset(str(root), group_by=r"/(defective|functional/[^/]+)")
    assert problems(root, parts=3) == []
    assert problems(dataset, parts=3) == ["Classes too small: DATA. Expected at least 3 groups in every class, got 'defective' with 1."]


def test_class_names_that_collide_stop(photo_folder: PhotoFolder) -> None:
    root = photo_folder(1)
    path = first(root / "defective")
    other = first(root / "functional")
    samples = [Sample(path, "a", "Caf\u00e9"), Sample(other, "b", "cafe\u0301")]
    expected = "Class names collide: DATA. Expected names that differ by more than case, got 'Caf\u00e9' and 'cafe\u0301'."
    assert problems(Dataset("DATA", root, samples, ("Caf\u00e9", "cafe\u0301"))) == [expected]


def test_class_names_that_no_model_could_hold_stop(photo_folder: PhotoFolder) -> None:
    root = photo_folder(1)
    samples = [Sample(first(root / "defective"), "a", "caf\udce9"), Sample(first(root / "functional"), "b", "tea")]
    expected = "Class names are no text: DATA. Expected names in UTF-8, got 'caf\\udce9'."
    assert problems(Dataset("DATA", root, samples, ("caf\udce9", "tea"))) == [expected]


def test_three_images_in_each_of_many_classes_are_enough(tmp_path: Path) -> None:
    samples = []
    for i in range(300):
        path = tmp_path / f"{i}.png"
        noise = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
        buffer = BytesIO()
        Image.fromarray(noise).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
        samples.append(Sample(path, path.name, f"class {i // 3}"))
    dataset = Dataset("DATA", tmp_path, samples, tuple(f"class {i}" for i in range(100)))
    assert problems(dataset, parts=3) == []
    assert len(problems(dataset, parts=4)) == 1


def test_nothing_of_the_users_is_changed(photo_folder: PhotoFolder) -> None:
    root = photo_folder(2)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*.png")}
    look(root)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()} == before


def test_some_images_of_a_scan_are_compared_anew(given_split: Path) -> None:
    """The copy in the test part is a leak; without its counterpart, or on the same side, it is none."""
    shutil.copy(first(given_split / "train" / "functional"), given_split / "test" / "functional" / "copy.png")
    found, _ = look(given_split)
    assert found.leaks
    everything = range(len(found.samples))
    without = [i for i in everything if not found.samples[i].name.endswith("copy.png")]
    chosen = subset(found, without, [found.samples[i] for i in without])
    assert (chosen.leaks, chosen.duplicates) == ([], [])
    assert chosen.sha256 == [found.sha256[i] for i in without]
    assert chosen.sizes.tolist() == [found.sizes[i].tolist() for i in without]
    assert chosen.clusters == [found.clusters[i] for i in without]
    moved = subset(found, everything, [replace(sample, split="train") for sample in found.samples])
    assert moved.leaks == []
    assert moved.duplicates == found.duplicates
    assert found.leaks  # the scan itself is as it was
