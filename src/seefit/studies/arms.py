"""The arms of a study: what ``--vary NAME=a,b,c`` stands for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seefit.errors import UsageError, raise_all, unknown_name
from seefit.settings import ALIASES, HEEDED_WITH, ProbeSettings, Settings, heeded, make_settings
from seefit.training.augment import parse_augmentation

AMOUNT, CLEAN = "amount", "clean"  # of training images, and whether their labels are corrected: no settings of a run
OWN = (AMOUNT, CLEAN)
# What says which images there are and how they are divided must be the same for all arms.
FIXED = frozenset(
    {"data", "labels", "root", "group_by", "follow_links", "sha256", "extend", "val", "test", "test_from_val", "max_skipped"}
    | {"max_pixels", "allow_leak", "seed", "device", "minutes", "every", "teacher"}
)
NO_FIXES = "no"
VIEWS = 8  # of an image that a probe is fitted on when augmentation is varied


@dataclass(frozen=True)
class Arm:
    """One of the ways that are compared.

    Attributes:
        name: The value that it stands for, as the user wrote it.
        settings: Of a run that is trained so.
        amount: Share of the training images that it may see, in (0, 1].
        fixes: Confirmed corrections of training labels; None without.
    """

    name: str
    settings: Settings
    amount: float = 1.0
    fixes: Path | None = None

    @property
    def by_probe(self) -> bool:
        """Whether only a head on frozen features is fitted."""
        return self.settings.way == "probe"


@dataclass(frozen=True)
class Vary:
    """What is varied: its name as a setting has it, and the values as the user wrote them; the first is the one to beat."""

    name: str
    values: tuple[str, ...]


def parse_vary(text: str) -> Vary:
    """Read ``NAME=a,b,c``; values that hold commas themselves are separated by semicolons.

    Raises:
        UsageError: No such name, fewer than two values, or one twice.
    """
    given, equals, rest = text.partition("=")
    name = given.strip().replace("-", "_")
    name = ALIASES.get(name, name)
    values = tuple(value.strip() for value in rest.split(";" if ";" in rest else ","))
    if not equals or len(values) < 2 or not all(values) or len(set(values)) < len(values):
        raise UsageError(
            "Nothing to compare",
            where="--vary",
            expected="NAME=a,b with two different values",
            got=repr(text),
            hint="Try --vary augment=none,any-way-up; values that hold commas are separated by semicolons",
        )
    known = [*OWN, *(field for field in Settings.model_fields if field not in FIXED)]
    if name not in known:
        unknown_name("setting to vary", name, [field.replace("_", "-") for field in known])
    return Vary(name, values)


def make_arms(given: Mapping[str, Any], vary: Vary) -> list[Arm]:
    """Return the arms, in the order of the values.

    What a probe does not look at needs layers that are trained: then the method is ``finetune`` unless the user named one.

    Args:
        given: Settings given by hand, the same for all arms.
        vary: What differs.

    Raises:
        UsageError: Settings that cannot be, or that a probe would not look at, so that all arms would be the same; all together.
    """
    base = dict(given)
    if not _seen_by_probe(vary.name) and not {"method", "preset"} & base.keys():
        base["method"] = "finetune"
    if vary.name == "augment":  # of a probe, it is the views that are varied: one that has none looks at no augmentation
        base.setdefault("probe_views", VIEWS)
    arms, problems = [], []
    for value in vary.values:
        try:
            arms.append(_arm(base, vary.name, value))
        except UsageError as error:
            problems.append(error)
    raise_all([*problems, *_blind(arms, vary)])
    return arms


def _seen_by_probe(name: str) -> bool:
    return name in OWN or name in ProbeSettings.model_fields or name in {"augment", "probe_views"}


def _arm(base: Mapping[str, Any], name: str, value: str) -> Arm:
    if name == AMOUNT:
        return Arm(value, make_settings(dict(base)), amount=_share(value))
    if name == CLEAN:
        return Arm(value, make_settings(dict(base)), fixes=None if value == NO_FIXES else Path(value))
    settings = make_settings({**base, name: value})
    parse_augmentation(settings.augment)
    return Arm(value, settings)


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        hint = "Try --vary amount=1,0.5,0.25"
        raise UsageError("Bad amount of data", where="--vary amount", expected="shares above 0 and up to 1", got=repr(value), hint=hint)
    return share


def _blind(arms: list[Arm], vary: Vary) -> list[UsageError]:
    """Return what is wrong with arms that would all be the same, or that train several networks."""
    hint = "Add --method finetune" if "best" not in {arm.settings.preset for arm in arms} else "Use --preset balanced"
    if any(arm.settings.preset == "best" for arm in arms):
        return [UsageError("A study trains one network per fold", where="--preset", expected="fast or balanced", got="best", hint=hint)]
    if any(arm.by_probe for arm in arms) and not _seen_by_probe(vary.name):
        option = vary.name.replace("_", "-")
        expected, got = "a method that looks at it", "a probe, which does not"
        return [UsageError("All arms would be the same", where=f"--vary {option}", expected=expected, got=got, hint=hint)]
    seen = [(heeded(arm.settings.model_dump()), arm.amount, arm.fixes) for arm in arms]
    return [
        UsageError(
            "Two arms would be the same",
            where=f"--vary {vary.name.replace('_', '-')}",
            expected="values that change what is learnt",
            got=f"{arms[first].name} and {arms[second].name}",
            hint=_hint_heeded(vary.name),
        )
        for first, second in itertools.combinations(range(len(arms)), 2)
        if seen[first] == seen[second]
    ]


def _hint_heeded(name: str) -> str:
    if name not in HEEDED_WITH:
        return "Vary another setting"
    other, values = HEEDED_WITH[name]
    return f"It is looked at only with --{other} {' or '.join(values)}"
