"""What a search may try: a readable YAML of settings, each with one value, a list of choices or a range."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.errors import SeefitError, UsageError, raise_all, unknown_name
from seefit.settings import ALIASES, HEEDED_WITH, UNHEEDED, ProbeSettings, Settings, heeded, make_settings

if TYPE_CHECKING:
    from optuna.trial import Trial

Value = str | int | float | bool | None

SHIPPED = ("probe", "finetune")
SHARE = "share"  # of each fold's training images that a trial learns from; no setting of a run
DEFAULT, HERE = "default", "here"
MOST_LISTED = 10_000  # combinations that are looked through one by one
DIGITS = 3  # of a number drawn from a range
_RANGE = ("low", "high", "log")
_PROBE = ("backbone", "features", "image_size", "fit", "class_weights")  # all that a probe on kept features depends on
_JUDGED = frozenset(ProbeSettings.model_fields) - {*_PROBE, "method"}  # which images there are, and which part each is in
_OTHERS = frozenset({"minutes", "teacher", "every", "precision"})
SEARCHABLE = (*sorted(set(Settings.model_fields) - _JUDGED - _OTHERS), SHARE)


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Value, ...]

    def suggest(self, trial: Trial, name: str) -> Value:
        """Let a trial choose."""
        chosen: Value = trial.suggest_categorical(name, list(self.values))
        return chosen

    def usual(self, default: Value) -> Value:
        """Return the value to begin with: that of seefit where it is one of them, else the first."""
        return default if default in self.values else self.values[0]

    def plain(self) -> Any:
        """Return what the YAML says."""
        return [DEFAULT if value is None else value for value in self.values]


@dataclass(frozen=True)
class Range:
    """A number from low to high, both included; whole when both ends are whole."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers count."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Trial, name: str) -> Value:
        """Let a trial choose."""
        if self.whole:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))

    def usual(self, default: Value) -> Value:
        """Return the value to begin with: that of seefit where it lies within, else the middle."""
        if isinstance(default, (int, float)) and self.low <= default <= self.high:
            return default
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.whole else self.rounded(middle)

    def rounded(self, value: float) -> float:
        """Return a number that people can read, still within."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def plain(self) -> Any:
        """Return what the YAML says."""
        return {"low": self.low, "high": self.high, **({"log": True} if self.log else {})}


@dataclass(frozen=True)
class Space:
    """What stays as it is, and what is searched.

    Attributes:
        fixed: Name of a setting → its value, the method among them.
        searched: Name of a setting, or `SHARE` → what it may be.
    """

    fixed: dict[str, Value]
    searched: dict[str, Choice | Range] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """How each trial trains: ``probe``, ``finetune`` or ``scratch``."""
        return str(self.fixed["method"])

    @property
    def count(self) -> int | None:
        """How many different trials there are; None where a range of numbers has no end of them."""
        sizes = [_size(domain) for domain in self.searched.values()]
        return None if None in sizes else math.prod(size or 0 for size in sizes)

    def settings(self, base: Mapping[str, Any], params: Mapping[str, Value]) -> Settings:
        """Return the settings of a trial.

        Args:
            base: Settings that tell which images there are and how they are split.
            params: What the trial drew.

        Raises:
            UsageError: Values that do not go together.
        """
        drawn = {name: value for name, value in {**self.fixed, **params}.items() if name != SHARE}
        return make_settings({**base, **{name: value for name, value in drawn.items() if value is not None}})

    def key(self, params: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
        """Return what tells a trial from others: what it drew, but for what nothing looks at beside the rest."""
        share = {SHARE: params[SHARE]} if SHARE in params else {}
        drawn = heeded({**self.fixed, **{name: value for name, value in params.items() if name != SHARE}})
        return tuple(sorted({**share, **{name: value for name, value in drawn.items() if name in params}}.items()))

    def share(self, params: Mapping[str, Value]) -> float:
        """Return how much of each fold's training images a trial learns from."""
        return float(params.get(SHARE, self.fixed.get(SHARE, 1)) or 1)

    def usual(self) -> dict[str, Value]:
        """Return what comes nearest to seefit's own defaults: the first trial, which the others are compared with."""
        return {name: domain.usual(_default(name)) for name, domain in self.searched.items()}

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Let a trial draw every setting; numbers of ranges come rounded."""
        drawn = {name: domain.suggest(trial, name) for name, domain in self.searched.items()}
        return {name: self._rounded(name, value) for name, value in drawn.items()}

    def every(self) -> Iterable[dict[str, Value]]:
        """Return all different trials of a space that can be counted."""
        values = [d.values if isinstance(d, Choice) else range(int(d.low), int(d.high) + 1) for d in self.searched.values()]
        return (dict(zip(self.searched, chosen, strict=True)) for chosen in itertools.product(*values))

    def to_yaml(self) -> str:
        """Return the space as a file that ``--space`` takes."""
        import yaml

        content = {**self.fixed, **{name: domain.plain() for name, domain in self.searched.items()}}
        header = "# Search again in this space with: seefit tune DATA --space space.yaml\n"
        return header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)

    def _rounded(self, name: str, value: Value) -> Value:
        domain = self.searched[name]
        return domain.rounded(value) if isinstance(domain, Range) and isinstance(value, float) else value


def read_space(name: str, here: Iterable[str]) -> Space:
    """Read a space that comes with seefit, or a file.

    Args:
        name: ``probe``, ``finetune``, or the path of a YAML file.
        here: The backbones that ``here`` stands for.

    Raises:
        UsageError: No such space, unknown settings, settings that cannot be searched, and bad values, all together.
    """
    import yaml

    if name in SHIPPED:
        text = resources.files("seefit.studies").joinpath("spaces", f"{name}.yaml").read_text("utf-8")
    elif not Path(name).is_file():
        got = "no such file"
        raise UsageError("No such space", where=f"--space {name}", expected=f"{', '.join(SHIPPED)} or a YAML file", got=got, hint=_HINT)
    else:
        text = _read(Path(name))
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _bad_file(name, f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if not isinstance(content, dict):
        raise _bad_file(name, type(content).__name__)
    return make_space(content, here)


_HINT = "Write one line per setting, such as `class_weights: [none, balanced]`"


def make_space(content: Mapping[Any, Any], here: Iterable[str]) -> Space:
    """Check a space given by name.

    Args:
        content: As in the YAML.
        here: The backbones that ``here`` stands for.

    Raises:
        UsageError: As `read_space`.
    """
    problems: list[SeefitError] = []
    fixed: dict[str, Value] = {"method": "probe"}
    searched: dict[str, Choice | Range] = {}
    for key, entry in content.items():
        name = ALIASES.get(str(key), str(key))
        try:
            domain = _domain(name, tuple(here) if entry == HERE else entry)
        except UsageError as error:
            problems.append(error)
            continue
        if isinstance(domain, Choice) and len(domain.values) == 1:
            fixed[name] = domain.values[0]
        else:
            searched[name] = domain
    raise_all(problems)
    if "method" in searched:
        raise UsageError(
            "One method at a time", where="method", expected="probe, finetune or scratch", got="several", hint="Name one of them"
        )
    raise_all(_values(fixed, searched))
    raise_all(_unfit(fixed, searched))
    return Space(fixed, _normal(searched))


def _domain(name: str, entry: Any) -> Choice | Range:
    """Return what a setting may be; raise for one that cannot be searched."""
    if name in _JUDGED | _OTHERS:
        hint = "Leave it out of the space, and give it to `seefit tune` as an option where there is one"
        raise UsageError("Cannot be searched", where=name, expected="a setting of the model or of its training", got=name, hint=hint)
    if name not in SEARCHABLE:
        unknown_name("setting to search", name, [*SEARCHABLE, *ALIASES])
    if isinstance(entry, dict):
        return _range(name, entry)
    values = entry if isinstance(entry, (list, tuple)) else [entry]
    if not values or not all(isinstance(value, (str, int, float, bool)) for value in values):
        hint = f"Write {name}: [first, second]"
        raise UsageError("Bad choices", where=name, expected="a value, a list of values or a range", got=repr(entry), hint=hint)
    return Choice(tuple(dict.fromkeys(_default(name) if value == DEFAULT else value for value in values)))


def _range(name: str, entry: Mapping[Any, Any]) -> Range:
    for word in entry:
        if word not in _RANGE:
            unknown_name(f"word in the range of {name}", str(word), _RANGE)
    low, high = (_number(entry.get(end)) for end in ("low", "high"))
    log = entry.get("log", False)
    if low is None or high is None or not low < high or not isinstance(log, bool) or (log and low <= 0):
        expected = "two numbers, low below high" + (", low above 0" if log else "")
        hint = f"Write {name}: {{low: 0.001, high: 0.1, log: true}}"
        raise UsageError("Bad range", where=name, expected=expected, got=str(dict(entry)), hint=hint)
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(low, high, log) if whole else Range(float(low), float(high), log)


def _number(value: Any) -> int | float | None:
    """Return a number, also one that YAML reads as text (1e-4); None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _default(name: str) -> Value:
    value: Value = 1.0 if name == SHARE else Settings.model_fields[name].default
    return value


def _values(fixed: Mapping[str, Value], searched: Mapping[str, Choice | Range]) -> list[SeefitError]:
    """Return what is wrong with the values, each looked at alone beside what is fixed."""
    problems: list[SeefitError] = []
    alone = {name: [value] for name, value in fixed.items()}
    for name, domain in searched.items():
        alone[name] = list(domain.values) if isinstance(domain, Choice) else [domain.low, domain.high]
    for name, values in alone.items():
        for value in values:
            if name == SHARE:
                problems += [] if isinstance(value, (int, float)) and 0 < value <= 1 else [_bad_share(value)]
                continue
            try:
                make_settings({"data": "", "method": fixed["method"], **({name: value} if value is not None else {})})
            except UsageError as error:
                problems.append(error)
    return problems


def _unfit(fixed: Mapping[str, Value], searched: Mapping[str, Choice | Range]) -> list[SeefitError]:
    """Return what does not go with the method, or would make trials that differ by name alone."""
    if not searched:
        hint = "Give a setting several choices, such as backbone: [lite0, lite1]"
        return [
            UsageError("Nothing to search", where="the space", expected="a setting with choices or a range", got="fixed values", hint=hint)
        ]
    names = {*fixed, *searched} - {"method", SHARE}
    if fixed["method"] == "probe":
        what, hint = f"one of {', '.join(_PROBE)} for a probe", "Leave it out, or write method: finetune"
        return [UsageError("A probe does not look at it", where=n, expected=what, got=n, hint=hint) for n in sorted(names - set(_PROBE))]
    idle = [name for name in sorted(searched) if not _can_be_heeded(name, fixed, searched)]
    if idle:
        with_others = [f"{name} goes with {HEEDED_WITH[name][0]}: {HEEDED_WITH[name][1][0]}" for name in idle if name in HEEDED_WITH]
        hint = ", ".join(["Leave it out", *with_others])
        what = "what changes what is learnt"
        return [UsageError("Trials would differ by name alone", where=", ".join(idle), expected=what, got=", ".join(idle), hint=hint)]
    weights = searched.get("class_weights")
    if "prior" in (weights.values if isinstance(weights, Choice) else [fixed.get("class_weights")]):
        hint = "Write class_weights: [none, balanced]"
        expected = "none or balanced where layers are trained"
        return [UsageError("Cannot be compared epoch by epoch", where="class_weights", expected=expected, got="prior", hint=hint)]
    return []


def _can_be_heeded(name: str, fixed: Mapping[str, Value], searched: Mapping[str, Choice | Range]) -> bool:
    if name not in HEEDED_WITH:
        return name not in UNHEEDED
    other, values = HEEDED_WITH[name]
    domain = searched.get(other)
    there = domain.values if isinstance(domain, Choice) else [fixed.get(other, _default(other))]
    return any(value in values for value in there)


def _normal(searched: Mapping[str, Choice | Range]) -> dict[str, Choice | Range]:
    """Return choices as the settings take them, so that two spellings of one value are not two trials."""
    normal: dict[str, Choice | Range] = {}
    for name, domain in searched.items():
        if isinstance(domain, Choice) and name != SHARE:
            made = (None if value is None else getattr(make_settings({"data": "", name: value}), name) for value in domain.values)
            domain = Choice(tuple(dict.fromkeys(made)))  # noqa: PLW2901
        normal[name] = domain
    return normal


def _size(domain: Choice | Range) -> int | None:
    if isinstance(domain, Choice):
        return len(domain.values)
    return int(domain.high) - int(domain.low) + 1 if domain.whole else None


def _bad_share(value: Value) -> UsageError:
    expected = "above 0 and at most 1"
    return UsageError("Bad share of the images", where=SHARE, expected=expected, got=repr(value), hint=f"Write {SHARE}: [0.25, 0.5, 1]")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_file(path, f"{type(error).__name__}: {error}".splitlines()[0]) from error


def _bad_file(path: object, got: str) -> UsageError:
    return UsageError("Cannot read the space", where=path, expected="a YAML file of settings", got=got, hint=_HINT)
