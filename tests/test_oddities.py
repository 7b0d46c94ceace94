"""Sentences about what is odd and accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from seefit.data.dataset import Sample
from seefit.data.findings import Finding
from seefit.data.oddities import oddities


def said(name: str = "a/1.jpg", label: str = "a", *, kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (99, 99)) -> list[str]:
    return oddities([Sample(Path(name), name, label)], [finding(kind, mode, size)])


def finding(kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (99, 99)) -> Finding:
    return Finding("00", 1, None, False, kind, mode, *size)


def many(*labels: str, split: str | None = None, group: str | None = None) -> list[Sample]:
    return [Sample(Path(f"{i}"), f"{split}/{label}/{i}", label, split, group) for i, label in enumerate(labels)]


def test_a_usual_image_gives_no_sentence() -> None:
    assert said() == []
    assert said("a/photo.JPG", mode="L") == []
    assert said("a/no-suffix", kind="PNG") == []


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7, 7), (2001, 100)])
def test_very_small_or_long(size: tuple[int, int]) -> None:
    assert said(size=size) == [f"1 image is very small or very long, first a/1.jpg ({size[0]}x{size[1]} pixels)."]


def test_large_images_are_averaged() -> None:
    assert said(size=(4_000, 4_000)) == []
    assert said(size=(4_001, 4_000)) == ["1 image is over 16 megapixels: averaged down after decoding."]


def test_colour_models_are_counted() -> None:
    findings = [finding(mode=mode) for mode in ("RGB", "CMYK", "CMYK", "I;16")]
    expected = "3 images are neither plain colour nor grey (2 x CMYK, 1 x I;16): converted to colour, transparency on white."
    assert oddities(many("a", "b", "a", "b"), findings) == [expected]


def test_a_png_named_jpg_is_counted() -> None:
    assert said(kind="PNG") == ["1 image is of another format than the name says (1 x PNG named .jpg): accepted."]


def test_names_that_differ_by_case_or_normalisation() -> None:
    names = ["a/Caf\u00e9.jpg", "a/cafe\u0301.jpg", "a/x.jpg"]
    samples = [Sample(Path(name), name, "a") for name in names]
    expected = f"1 pair of names differs only by case or accents, first {names[0]} and {names[1]}: one file on some systems."
    assert oddities(samples, [finding()] * 3) == [expected]


def test_the_same_name_in_two_classes_is_no_collision() -> None:
    samples = [Sample(Path(name), name, name[:3]) for name in ("cat/1.jpg", "dog/1.jpg")]
    assert oddities(samples, [finding()] * 2) == []


def test_unequal_classes() -> None:
    samples = many(*["a"] * 10, "b")
    assert oddities(samples, [finding()] * 11) == [
        "The classes are unequal: 10 images of 'a', 1 of 'b'. Read balanced accuracy, not accuracy."
    ]
    assert oddities(many(*["a"] * 9, "b"), [finding()] * 10) == []


def test_a_given_part_without_a_class_and_a_torn_group() -> None:
    samples = [*many("a", "b", split="train", group="g"), *many("a", split="test", group="g")]
    assert oddities(samples, [finding()] * 3) == [
        "The given test part has no image of 1 class ('b').",
        "1 group stands on several sides of the given split, first 'g'.",
    ]
