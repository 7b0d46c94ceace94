"""What `ImageClassifier` says of images, labels and arguments that it cannot use; what it was before stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seefit.environment import cache_folder
from seefit.errors import DataError, ResourceError, SeefitError, UsageError
from seefit.estimator import ImageClassifier
from seefit.training import engine
from test_estimator import Labels, make_pictures
from tiny import plant_tiny


@pytest.fixture(autouse=True)
def _tiny() -> None:
    """Let `lite0` be the tiny backbone."""
    plant_tiny()


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[str], Labels]:
    return make_pictures(tmp_path / "pictures", 36)


def test_every_unreadable_image_is_named(pictures: tuple[list[str], Labels], tmp_path: Path) -> None:
    paths, labels = pictures
    classifier = ImageClassifier().fit(paths, labels)
    half = tmp_path / "half.png"
    half.write_bytes(Path(paths[0]).read_bytes()[:200])
    bad = [str(half), str(tmp_path / "gone.png"), __file__]
    with pytest.raises(DataError) as caught:
        ImageClassifier().fit([*paths, *bad], [*labels, *labels[:3]])
    assert caught.value.exit_code == 3
    assert len(caught.value.message.splitlines()) == 3
    assert all(path in caught.value.message for path in bad)
    assert "Traceback" not in str(caught.value)
    with pytest.raises(DataError) as again:
        classifier.predict([bad[0], paths[0], bad[2]])
    assert [line.split(". Expected")[0] for line in again.value.message.splitlines()] == [
        f"Cannot decode the image: {bad[0]}",
        f"Cannot decode the image: {bad[2]}",
    ]


def test_a_fit_that_fails_leaves_the_classifier_as_it_was(pictures: tuple[list[str], Labels]) -> None:
    paths, labels = pictures
    classifier = ImageClassifier().fit(paths, labels)
    before = classifier.predict_proba(paths)
    with pytest.raises(DataError):
        classifier.fit([*paths, "gone.png"], [*labels, "new"])
    np.testing.assert_array_equal(classifier.predict_proba(paths), before)


WRONG: list[tuple[dict[str, Any], type[SeefitError], str]] = [
    ({"X": ["a.png"]}, UsageError, "got list without labels"),
    ({"X": "photos", "y": ["a"]}, UsageError, "Expected a list of paths of image files, got 'photos'"),
    ({"X": [1, 2], "y": ["a", "b"]}, UsageError, "got 2 other things, first of type int"),
    ({"X": ["a.png"], "y": ["a", "b"]}, DataError, "labels. Expected one per image, 1 in all, got 2"),
    ({"X": ["a.png"] * 2, "y": ["a", "b"], "sample_weight": [1]}, DataError, "sample_weight. Expected one per image, 2 in all, got 1"),
    ({"X": ["a.png"] * 2, "y": ["a", "b"], "sample_weight": [1, -1]}, DataError, "of at least 0, got -1.0 at position 1"),
    ({"X": ["a.png"] * 2, "y": ["a", "b"], "sample_weight": [1, np.nan]}, DataError, "of at least 0, got nan at position 1"),
    ({"X": ["a.png"] * 2, "y": ["a", "b"], "groups": [1]}, DataError, "groups. Expected one per image, 2 in all, got 1"),
    ({"X": ["a.png"] * 2, "y": ["a", "a"]}, DataError, "Expected at least two classes, got 'a'"),
    ({"X": ["a.png"] * 2, "y": ["cat", "Cat"]}, DataError, "differ by more than case, got 'Cat' and 'cat'"),
    ({"X": ["a.png"] * 2, "y": ["a", "b"], "out": "run"}, UsageError, "Argument without effect: out. Expected the name of a data set"),
    ({"X": ["a.png"] * 2, "y": ["a", "b"], "val": 0.2}, UsageError, "Argument without effect: val. Expected the name of a data set"),
    ({"X": "photos", "groups": [1]}, UsageError, "Argument without effect: groups. Expected paths and labels"),
    ({"X": "photos", "seed": 3}, UsageError, "seed. Expected it as an argument of ImageClassifier"),
    ({"X": "photos", "vall": 0.2}, UsageError, "Unknown setting: vall"),
    ({"X": "photos"}, UsageError, "got nothing at this place"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG, ids=[message[-40:] for _, _, message in WRONG])
def test_arguments_that_make_no_sense(arguments: dict[str, Any], error: type[SeefitError], message: str) -> None:
    with pytest.raises(error) as caught:
        ImageClassifier().fit(**arguments)
    assert message in caught.value.message


def test_bad_constructor_arguments_are_told_by_fit(pictures: tuple[list[str], Labels]) -> None:
    with pytest.raises(UsageError) as caught:
        ImageClassifier(features="all", box="stretch").fit(*pictures)
    assert [line.split(". ")[0] for line in caught.value.message.splitlines()] == ["Bad setting: --features", "Bad setting: --fit"]
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        ImageClassifier().fit(pictures[0], np.linspace(0, 1, 36))


def test_a_gpu_that_is_not_there_is_told_before_any_look_at_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_has_gpu", lambda: False)
    with pytest.raises(ResourceError, match="No GPU: --device cuda"):
        ImageClassifier(device="cuda").fit(["none.png", "nor this.png"], [0, 1])


def test_nothing_is_left_of_a_fit_that_fails(tmp_path: Path) -> None:
    make_pictures(tmp_path, 3)
    with pytest.raises(DataError, match="Classes too small"):
        ImageClassifier().fit(tmp_path)
    assert list(cache_folder("fitted").iterdir()) == []


def test_an_interrupted_fit_names_no_run_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    make_pictures(tmp_path / "pictures", 6)
    plant_tiny()
    monkeypatch.setattr("seefit.pipeline.gather", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        ImageClassifier().fit(tmp_path / "pictures")
    assert getattr(caught.value, "__notes__", []) == []
    with pytest.raises(KeyboardInterrupt) as caught:
        ImageClassifier().fit(tmp_path / "pictures", out=tmp_path / "run")
    assert caught.value.__notes__ == [f"Go on with: seefit resume {tmp_path / 'run'}"]
