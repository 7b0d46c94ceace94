"""Augmentation: what may change about an image while its label stays true, and named sets of it.

What makes single images is applied by `seefit.training.views`; mixing (mixup, cutmix, noise) acts on whole batches,
`seefit.training.mixing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from seefit.errors import SeefitError, UsageError, raise_all, unknown_name
from seefit.training.mixing import Mixing

VIEWS_VERSION = 1  # part of every key: raise it with any change of what a view is

Pair = tuple[float, float]
Orientation = tuple[int, bool]  # quarter turns anticlockwise, after mirroring left to right if so


def combined(horizontal: bool, vertical: bool, turns: int) -> Orientation:
    """Return a mirroring left to right, then one top to bottom, then quarter turns as one orientation."""
    return (turns + 2 * vertical) % 4, horizontal != vertical  # upside down is half a turn of the mirror image


def _pair(both: Callable[[float], Pair]) -> BeforeValidator:
    """Return what makes a range of one number, and a tuple of a list."""

    def read(value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return both(float(value))
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(read)


def _ordered(pair: Pair) -> Pair:
    if pair[0] > pair[1]:
        raise ValueError("low..high")
    return pair


_both_sides = _pair(lambda n: (-n, n))
_around_one = _pair(lambda n: (round(1 - n, 12), round(1 + n, 12)))
_of_a_factor = _pair(lambda n: (round(max(0.0, 1 - n), 12), round(1 + n, 12)) if n >= 0 else (n, n))
_up_to_whole = _pair(lambda n: (n, 1.0))
_either_way = _pair(lambda n: (min(n, 1 / n), max(n, 1 / n)) if n > 0 else (n, n))

Probability = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=-180, le=180)]
Size = Annotated[float, Field(ge=0.1, le=10)]
Share = Annotated[float, Field(ge=0.01, le=1)]
Factor = Annotated[float, Field(ge=0, le=10)]
Hue = Annotated[float, Field(ge=-0.5, le=0.5)]
Factors = Annotated[tuple[Factor, Factor], _of_a_factor, AfterValidator(_ordered)]
_FACTOR = "a number from 0 to 9 for 1 less to 1 more, or factors low..high within 0 to 10"
_PROBABILITY = "a probability from 0 to 1"
_ALPHA = "an alpha from 0 to 100"


class Augmentation(BaseModel):
    """What may change about an image. Every part is off unless it is set; ranges are drawn from evenly.

    A range takes one number, with a meaning of its own for each part, or a pair: ``rotation=20`` is ``(-20, 20)``.

    Attributes:
        rotation: Anticlockwise, in degrees.
        horizontal_flip: How often to mirror left to right.
        vertical_flip: How often to mirror top to bottom.
        quarter_turns: Turn by 0, 90, 180 or 270 degrees.
        zoom: Under 1 makes what is seen smaller, over 1 larger.
        crop: Area of the part that is kept, as a share of the image.
        ratio: Width to height of that part, in units of the image's own; 1 keeps the image's shape.
        brightness: Factor.
        contrast: Factor of the distance from the mean grey.
        saturation: Factor of the distance from grey.
        hue: Shift along the circle of colours, whose length is 1.
        greyscale: How often to take the colours away.
        erasing: How often to paint over a patch (Zhong et al. 2020).
        trivial: One of fourteen changes at any strength (TrivialAugment Wide, Müller and Hutter 2021).
        mixup: As in `Mixing`.
        cutmix: Likewise.
        noise: Likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rotation: Annotated[tuple[Degrees, Degrees], _both_sides, AfterValidator(_ordered)] = Field(
        default=(0.0, 0.0), description="degrees from 0 to 180 for both ways, or low..high within -180 to 180"
    )
    horizontal_flip: Probability = Field(default=0.0, description=_PROBABILITY)
    vertical_flip: Probability = Field(default=0.0, description=_PROBABILITY)
    quarter_turns: bool = Field(default=False, description="on or off")
    zoom: Annotated[tuple[Size, Size], _around_one, AfterValidator(_ordered)] = Field(
        default=(1.0, 1.0), description="a number from 0 to 0.9 for 1 less to 1 more, or sizes low..high within 0.1 to 10"
    )
    crop: Annotated[tuple[Share, Share], _up_to_whole, AfterValidator(_ordered)] = Field(
        default=(1.0, 1.0), description="the smallest share of the area, from 0.01 to 1, or low..high"
    )
    ratio: Annotated[tuple[Size, Size], _either_way, AfterValidator(_ordered)] = Field(
        default=(1.0, 1.0), description="a ratio from 0.1 to 10 for either way, or low..high"
    )
    brightness: Factors = Field(default=(1.0, 1.0), description=_FACTOR)
    contrast: Factors = Field(default=(1.0, 1.0), description=_FACTOR)
    saturation: Factors = Field(default=(1.0, 1.0), description=_FACTOR)
    hue: Annotated[tuple[Hue, Hue], _both_sides, AfterValidator(_ordered)] = Field(
        default=(0.0, 0.0), description="a number from 0 to 0.5 for both ways, or low..high within -0.5 to 0.5"
    )
    greyscale: Probability = Field(default=0.0, description=_PROBABILITY)
    erasing: Probability = Field(default=0.0, description=_PROBABILITY)
    trivial: bool = Field(default=False, description="on or off")
    mixup: float = Field(default=0.0, ge=0, le=100, description=_ALPHA)
    cutmix: float = Field(default=0.0, ge=0, le=100, description=_ALPHA)
    noise: float = Field(default=0.0, ge=0, le=10, description="standard deviations from 0 to 10")

    def parts(self) -> dict[str, Any]:
        """Return the parts that are on, with their values, in order; `parse_augmentation` takes them back."""
        return {name: value for name, value in self.model_dump().items() if value != type(self).model_fields[name].default}

    @property
    def geometry(self) -> str:
        """What changes about places, in words; empty for nothing."""
        return self._words(GEOMETRY)

    @property
    def colour(self) -> str:
        """What changes about colours, in words; empty for nothing."""
        return self._words(COLOUR)

    def describe(self) -> str:
        """Return one sentence for the console, without a full stop: geometry, colour, mixing."""
        phrases = [self.geometry, self.colour, self._words(MIXING)]
        return "; ".join(filter(None, phrases)) or "every image as it is"

    def _words(self, names: tuple[str, ...]) -> str:
        on = self.parts()
        values = {name: on[name] if isinstance(on[name], tuple) else (on[name],) for name in names if name in on}
        return ", ".join(_WORDS[name].format(*value) for name, value in values.items())

    @property
    def mixing(self) -> Mixing:
        """What is done to whole batches."""
        return Mixing(mixup=self.mixup, cutmix=self.cutmix, noise=self.noise)

    @property
    def only_orients(self) -> bool:
        """Whether views are flips and quarter turns alone, or the image itself."""
        return not set(self.parts()) - set(ORIENTATION) - set(MIXING)

    @property
    def distinct_views(self) -> int | None:
        """How many different views there are: 1 for none, 8 for all flips and turns; None where they have no end."""
        even = self.orientations()
        return len(even) if self.only_orients and even is not None else None

    def orientations(self) -> list[Orientation] | None:
        """Return the ways an image may lie, its own first; None where some are likelier than others."""
        if not {self.horizontal_flip, self.vertical_flip} <= {0.0, 0.5}:
            return None
        horizontal, vertical = ((False, True) if flip else (False,) for flip in (self.horizontal_flip, self.vertical_flip))
        turns = range(4) if self.quarter_turns else range(1)
        return sorted({combined(h, v, t) for h in horizontal for v in vertical for t in turns})

    def key(self, *, seed: int) -> str:
        """Return text that names the views: another text wherever other pixels may come out.

        Args:
            seed: As given to `make_view`; part of the text only where it matters.
        """
        on = [f"{name}={_shown(value)}" for name, value in self.parts().items() if name not in MIXING]
        if self.distinct_views is None:
            on += [f"seed={seed}", *(f"{library}-{version(library)}" for library in ("numpy", "pillow", "torch", "torchvision"))]
        return " ".join([f"views-{VIEWS_VERSION}", *on])


ORIENTATION = ("horizontal_flip", "vertical_flip", "quarter_turns")
GEOMETRY = (*ORIENTATION, "rotation", "zoom", "crop", "ratio", "erasing")
COLOUR = ("brightness", "contrast", "saturation", "hue", "greyscale", "trivial")
MIXING = ("mixup", "cutmix", "noise")

_WORDS = {
    "horizontal_flip": "{:.0%} mirrored left to right",
    "vertical_flip": "{:.0%} mirrored top to bottom",
    "quarter_turns": "turned by quarters",
    "rotation": "rotated by {:g} to {:g}°",
    "zoom": "zoomed by {:g} to {:g}",
    "crop": "cropped to {:.0%} to {:.0%} of the area",
    "ratio": "in shapes of {:.2g} to {:.2g} times their own",
    "erasing": "a patch erased in {:.0%}",
    "brightness": "brightness times {:g} to {:g}",
    "contrast": "contrast times {:g} to {:g}",
    "saturation": "saturation times {:g} to {:g}",
    "hue": "hue shifted by {:g} to {:g}",
    "greyscale": "{:.0%} made grey",
    "trivial": "one of fourteen changes (TrivialAugment)",
    "mixup": "pairs blended (mixup, alpha {:g})",
    "cutmix": "patches swapped (cutmix, alpha {:g})",
    "noise": "noise of {:g} standard deviations",
}
_SHAPES = (3 / 4, 4 / 3)

AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(horizontal_flip=0.5, crop=(0.8, 1.0), brightness=(0.9, 1.1), contrast=(0.9, 1.1)),
    "medium": Augmentation(
        horizontal_flip=0.5,
        rotation=(-10.0, 10.0),
        zoom=(0.9, 1.1),
        crop=(0.6, 1.0),
        ratio=_SHAPES,
        brightness=(0.8, 1.2),
        contrast=(0.8, 1.2),
        saturation=(0.8, 1.2),
    ),
    # About what torchvision trains its own best weights with: Vryniotis 2021, "How to Train State-Of-The-Art Models".
    "strong": Augmentation(horizontal_flip=0.5, crop=(0.25, 1.0), ratio=_SHAPES, trivial=True, erasing=0.1, mixup=0.2, cutmix=1.0),
    # For pictures without a top, seen from above or through a microscope.
    "any-way-up": Augmentation(horizontal_flip=0.5, vertical_flip=0.5, quarter_turns=True),
    # For classes that differ by colour: nothing touches it, and no two images are blended.
    "keep-colour": Augmentation(horizontal_flip=0.5, rotation=(-10.0, 10.0), zoom=(0.9, 1.1), crop=(0.6, 1.0), ratio=_SHAPES),
}

_SWITCHES = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def parse_augmentation(value: str | Mapping[str, Any]) -> Augmentation:
    """Return the augmentation that the user means.

    Args:
        value: The name of a set; or a set and parts, ``medium,rotation=20,hue=off,crop=0.5..0.9``; or parts alone; or
            a mapping of parts, where ``set`` names the set that they change. ``off`` switches any part off.

    Raises:
        UsageError: Unknown names and bad values, all together.
    """
    given = _read(value) if isinstance(value, str) else {str(name): _plain(part) for name, part in value.items()}
    name = str(given.pop("set", "none"))
    if name not in AUGMENTATIONS:
        unknown_name("augmentation", name, AUGMENTATIONS)
    fields = Augmentation.model_fields
    changes = {part: fields[part].default if found is False and part in fields else found for part, found in given.items()}
    try:
        return Augmentation(**{**AUGMENTATIONS[name].model_dump(), **changes})
    except ValidationError as error:
        wrong = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())
        raise_all([_problem(part, given[part]) for part in wrong])
        raise


def _read(text: str) -> dict[str, Any]:
    """Read ``medium,rotation=20``."""
    given: dict[str, Any] = {}
    for piece in text.split(","):
        name, equals, value = (part.strip() for part in piece.partition("="))
        if not equals:
            name, value = "set", name
        if not (name and value) or name in given:
            raise UsageError(
                "Cannot read the augmentation",
                where=repr(text),
                expected="at most one set, and parts, such as medium,rotation=20,hue=off",
                got=repr(piece),
                hint=f"The sets are {', '.join(AUGMENTATIONS)}; the parts are {', '.join(Augmentation.model_fields)}",
            )
        given[name] = value if name == "set" else _plain(value)
    return given


def _plain(value: Any) -> Any:
    """Return the number, the pair of numbers or the switch that a text stands for; the text itself where it is none."""
    if not isinstance(value, str):
        return value
    if value.lower() in _SWITCHES:
        return _SWITCHES[value.lower()]
    low, dots, high = value.partition("..")
    try:
        return (float(low), float(high)) if dots else float(value)
    except ValueError:
        return value


def _problem(part: str, value: object) -> SeefitError:
    if part not in Augmentation.model_fields:
        try:
            unknown_name("part of an augmentation", part, Augmentation.model_fields)
        except UsageError as error:
            return error
    expected = Augmentation.model_fields[part].description or ""
    return UsageError("Bad augmentation", where=part, expected=expected, got=_shown(value), hint=f"Leave {part} out, or set it to off")


def _shown(value: object) -> str:
    """Return a value as the user would write it."""
    if isinstance(value, tuple):
        return "..".join(_shown(item) for item in value)
    return f"{value:.15g}" if isinstance(value, float) else repr(value)
