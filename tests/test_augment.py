"""What the user may ask for, how it is read, and how it is told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from seefit.errors import UsageError
from seefit.training.augment import _WORDS, AUGMENTATIONS, COLOUR, GEOMETRY, MIXING, Augmentation, parse_augmentation
from seefit.training.mixing import Mixing

MEDIUM = AUGMENTATIONS["medium"]


def changed(augmentation: Augmentation, **parts: Any) -> Augmentation:
    return Augmentation(**{**augmentation.model_dump(), **parts})


def test_the_named_sets() -> None:
    assert list(AUGMENTATIONS) == ["none", "light", "medium", "strong", "any-way-up", "keep-colour"]
    assert AUGMENTATIONS["none"].parts() == {}
    assert AUGMENTATIONS["any-way-up"].parts() == {"horizontal_flip": 0.5, "vertical_flip": 0.5, "quarter_turns": True}
    assert AUGMENTATIONS["keep-colour"].colour == ""
    assert not AUGMENTATIONS["keep-colour"].mixing.acts
    assert AUGMENTATIONS["strong"].mixing == Mixing(mixup=0.2, cutmix=1.0)
    assert len({augmentation.key(seed=0) for augmentation in AUGMENTATIONS.values()}) == 6


def test_every_part_has_its_place_its_words_and_its_range() -> None:
    fields = Augmentation.model_fields
    assert sorted([*GEOMETRY, *COLOUR, *MIXING]) == sorted(fields) == sorted(_WORDS)
    assert all(field.description for field in fields.values())
    assert all(f"\n        {name}: " in (Augmentation.__doc__ or "") for name in fields)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("medium", MEDIUM),
        (" medium , rotation=20 ,saturation=0 ", changed(MEDIUM, rotation=(-20.0, 20.0), saturation=(1.0, 1.0))),
        ("rotation=20,medium", changed(MEDIUM, rotation=(-20.0, 20.0))),
        ("rotation=-5..40", Augmentation(rotation=(-5.0, 40.0))),
        ("medium,crop=off,quarter_turns=on", changed(MEDIUM, crop=(1.0, 1.0), quarter_turns=True)),
        ("mixup=1e-1,greyscale=0.25", Augmentation(mixup=0.1, greyscale=0.25)),
        ({}, Augmentation()),
        ({"set": "medium"}, MEDIUM),
        (
            {"set": "medium", "rotation": [-20, 20], "saturation": False},
            changed(MEDIUM, rotation=(-20.0, 20.0), saturation=(1.0, 1.0)),
        ),
        ({"rotation": "-5..40", "crop": 0.5}, Augmentation(rotation=(-5.0, 40.0), crop=(0.5, 1.0))),
        ({"trivial": True, "noise": "0.1"}, Augmentation(trivial=True, noise=0.1)),
    ],
)
def test_sets_and_changes_to_them(value: Any, expected: Augmentation) -> None:
    assert parse_augmentation(value) == expected


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_is_told_can_be_read_back(name: str) -> None:
    augmentation = AUGMENTATIONS[name]
    assert parse_augmentation(name) == augmentation
    assert parse_augmentation(augmentation.parts()) == augmentation
    assert parse_augmentation(augmentation.model_dump(mode="json")) == augmentation
    assert parse_augmentation({"set": name}) == augmentation


@pytest.mark.parametrize(
    ("part", "number", "pair"),
    [
        ("rotation", 20, (-20, 20)),
        ("hue", 0.1, (-0.1, 0.1)),
        ("zoom", 0.25, (0.75, 1.25)),
        ("brightness", 0.25, (0.75, 1.25)),
        ("contrast", 3, (0, 4)),
        ("saturation", 1, (0, 2)),
        ("crop", 0.3, (0.3, 1)),
        ("ratio", 2, (0.5, 2)),
        ("ratio", 0.5, (0.5, 2)),
    ],
)
def test_one_number_stands_for_a_range(part: str, number: float, pair: tuple[float, float]) -> None:
    assert getattr(parse_augmentation({part: number}), part) == pair
    assert getattr(parse_augmentation(f"{part}={number}"), part) == pair
    assert getattr(parse_augmentation(f"{part}={pair[0]}..{pair[1]}"), part) == pair


@pytest.mark.parametrize("part", Augmentation.model_fields)
def test_every_part_can_be_switched_off(part: str) -> None:
    full = {name: True if field.annotation is bool else 0.3 for name, field in Augmentation.model_fields.items()}
    assert set(parse_augmentation(full).parts()) == set(full)
    assert set(parse_augmentation({**full, part: False}).parts()) == set(full) - {part}
    assert parse_augmentation(f"{part}=off") == Augmentation()


DEGREES = "degrees from 0 to 180 for both ways, or low..high within -180 to 180"
FACTOR = "a number from 0 to 9 for 1 less to 1 more, or factors low..high within 0 to 10"


@pytest.mark.parametrize(
    ("value", "expected", "got"),
    [
        ("rotation=200", DEGREES, "200"),
        ("rotation=-20", DEGREES, "-20"),
        ("rotation=20..10", DEGREES, "20..10"),
        ("rotation=nan", DEGREES, "nan"),
        ("rotation=inf", DEGREES, "inf"),
        ("rotation=a lot", DEGREES, "'a lot'"),
        ("rotation=on", DEGREES, "True"),
        ({"rotation": [1, 2, 3]}, DEGREES, "[1, 2, 3]"),
        ({"rotation": None}, DEGREES, "None"),
        ("horizontal_flip=1.5", "a probability from 0 to 1", "1.5"),
        ("horizontal_flip=on", "a probability from 0 to 1", "True"),
        ("quarter_turns=2", "on or off", "2"),
        ("zoom=1", "a number from 0 to 0.9 for 1 less to 1 more, or sizes low..high within 0.1 to 10", "1"),
        ("crop=0", "the smallest share of the area, from 0.01 to 1, or low..high", "0"),
        ("crop=0.5..1.5", "the smallest share of the area, from 0.01 to 1, or low..high", "0.5..1.5"),
        ("ratio=0", "a ratio from 0.1 to 10 for either way, or low..high", "0"),
        ("brightness=-0.1", FACTOR, "-0.1"),
        ("contrast=11", FACTOR, "11"),
        ("hue=0.6", "a number from 0 to 0.5 for both ways, or low..high within -0.5 to 0.5", "0.6"),
        ("trivial=0.5", "on or off", "0.5"),
        ("mixup=-1", "an alpha from 0 to 100", "-1"),
        ("noise=nan", "standard deviations from 0 to 10", "nan"),
    ],
)
def test_a_bad_value_is_told_with_what_would_be_right(value: Any, expected: str, got: str) -> None:
    part = next(iter(value)) if isinstance(value, dict) else value.partition("=")[0]
    with pytest.raises(UsageError) as error:
        parse_augmentation(value)
    assert error.value.message == f"Bad augmentation: {part}. Expected {expected}, got {got}."
    assert error.value.hint == f"Leave {part} out, or set it to off."


def test_all_bad_parts_are_told_together() -> None:
    with pytest.raises(UsageError) as error:
        parse_augmentation("light,rotaton=20,hue=2,mixup=-1")
    assert error.value.message.splitlines() == [
        "Bad augmentation: hue. Expected a number from 0 to 0.5 for both ways, or low..high within -0.5 to 0.5, got 2.",
        "Bad augmentation: mixup. Expected an alpha from 0 to 100, got -1.",
        "Unknown part of an augmentation: rotaton. Expected a known part of an augmentation, got 'rotaton'.",
    ]
    assert "Did you mean 'rotation'?" in error.value.hint


@pytest.mark.parametrize("value", ["mediun", "mediun,rotation=20", {"set": "mediun"}])
def test_an_unknown_set_is_told_with_the_nearest(value: Any) -> None:
    with pytest.raises(UsageError) as error:
        parse_augmentation(value)
    assert error.value.message == "Unknown augmentation: mediun. Expected a known augmentation, got 'mediun'."
    assert error.value.hint == "Did you mean 'medium'? Choose one of: any-way-up, keep-colour, light, medium, none, strong."


@pytest.mark.parametrize(
    ("text", "piece"),
    [("", ""), ("light,", ""), ("light,medium", "medium"), ("hue=1,hue=2", "hue=2"), ("rotation=", "rotation="), ("=3", "=3")],
)
def test_what_cannot_be_read_is_shown(text: str, piece: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_augmentation(text)
    assert error.value.message == (
        f"Cannot read the augmentation: {text!r}. Expected at most one set, and parts, such as medium,rotation=20,hue=off, got {piece!r}."
    )
    assert error.value.hint.startswith("The sets are none, light, medium, strong, any-way-up, keep-colour; the parts are rotation, ")


def test_the_model_itself_is_strict_and_frozen() -> None:
    with pytest.raises(ValidationError):
        Augmentation(rotaton=(0.0, 1.0))  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Augmentation(horizontal_flip=True)
    with pytest.raises(ValidationError):
        MEDIUM.mixup = 1.0


@pytest.mark.parametrize(
    ("value", "geometry", "colour", "whole"),
    [
        ("none", "", "", "every image as it is"),
        (
            "light",
            "50% mirrored left to right, cropped to 80% to 100% of the area",
            "brightness times 0.9 to 1.1, contrast times 0.9 to 1.1",
            "50% mirrored left to right, cropped to 80% to 100% of the area; brightness times 0.9 to 1.1, contrast times 0.9 to 1.1",
        ),
        ("rotation=10,trivial=on", "rotated by -10 to 10°", "one of fourteen changes (TrivialAugment)",
         "rotated by -10 to 10°; one of fourteen changes (TrivialAugment)"),
        ("any-way-up,mixup=0.2", "50% mirrored left to right, 50% mirrored top to bottom, turned by quarters", "",
         "50% mirrored left to right, 50% mirrored top to bottom, turned by quarters; pairs blended (mixup, alpha 0.2)"),
        ("noise=0.1", "", "", "noise of 0.1 standard deviations"),
    ],
)  # fmt: skip
def test_an_augmentation_in_words(value: str, geometry: str, colour: str, whole: str) -> None:
    augmentation = parse_augmentation(value)
    assert (augmentation.geometry, augmentation.colour, augmentation.describe()) == (geometry, colour, whole)


@pytest.mark.parametrize(
    ("value", "views"),
    [
        ("none", 1),
        ("mixup=0.2", 1),
        ("horizontal_flip=0.5", 2),
        ("horizontal_flip=0.5,vertical_flip=0.5", 4),
        ("quarter_turns=on", 4),
        ("any-way-up,cutmix=1", 8),
        ("any-way-up,vertical_flip=off", 8),
        ("horizontal_flip=0.3", None),
        ("light", None),
    ],
)
def test_how_many_different_views_there_are(value: str, views: int | None) -> None:
    assert parse_augmentation(value).distinct_views == views


def test_the_key_names_what_makes_views_and_nothing_else() -> None:
    assert AUGMENTATIONS["none"].key(seed=3) == "views-1"
    assert parse_augmentation("any-way-up,mixup=0.3").key(seed=3) == "views-1 horizontal_flip=0.5 vertical_flip=0.5 quarter_turns=True"
    key = parse_augmentation("rotation=20,cutmix=1,noise=0.1").key(seed=3)
    assert re.fullmatch(r"views-1 rotation=-20\.\.20 seed=3 numpy-\S+ pillow-\S+ torch-\S+ torchvision-\S+", key)
    assert parse_augmentation("horizontal_flip=0.3").key(seed=3) != parse_augmentation("horizontal_flip=0.3").key(seed=4)
    near = [parse_augmentation(f"rotation={angle}").key(seed=0) for angle in ("20", "20.0", "20.00000001")]
    assert near[0] == near[1] != near[2]
