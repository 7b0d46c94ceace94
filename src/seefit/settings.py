"""The settings of a training run: what the user may say, checked, saved as ``config.yaml`` and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from seefit.data.image import MAX_PIXELS
from seefit.errors import SeefitError, UsageError, raise_all, unknown_name


class ProbeSettings(BaseModel):
    """What a probe depends on besides the images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    labels: str = "folder"
    root: Path | None = None
    group_by: str | None = None
    follow_links: bool = False
    sha256: str | None = None
    extend: Path | None = None
    preset: Literal["fast", "balanced", "best"] = "fast"
    method: Literal["probe", "finetune", "scratch"] | None = None
    backbone: str = "lite0"
    features: Literal["auto", "stages", "pooled", "flatten"] = "auto"
    image_size: int | None = None
    fit: Literal["auto", "crop", "pad", "squash"] = "auto"
    class_weights: Literal["none", "balanced", "prior"] = "none"
    val: float = Field(0.15, ge=0, lt=1)
    test: float = Field(0.15, ge=0, lt=1)
    test_from_val: float | None = Field(None, gt=0, lt=1)
    max_skipped: float = Field(0.01, ge=0, le=1)
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    allow_leak: bool = False
    seed: int = Field(0, ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @property
    def way(self) -> str:
        """The method: that given by hand, or the preset's."""
        return self.method or METHODS[self.preset]

    @property
    def from_scratch(self) -> bool:
        """Whether the network begins with random weights and all of it is trained."""
        return self.way == "scratch"

    @property
    def weights_seed(self) -> int | None:
        """What random weights are drawn from; None for pretrained ones."""
        return self.seed if self.from_scratch else None

    @property
    def backbones(self) -> list[str]:
        """The networks that are trained: several with the preset ``best``, named with commas between them."""
        return [name.strip() for name in self.backbone.split(",")] if self.preset == "best" else [self.backbone]

    @field_validator("data", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, Path) else value


class Settings(ProbeSettings):
    """Everything that a training run depends on besides the images.

    Attributes are named as the options of ``seefit train``. Those below ``gallery`` tell how the upper layers are trained; a probe does
    not look at them, except that with ``probe_views`` above 1 it is fitted on views that ``augment`` makes.
    """

    gallery: bool = False
    head: Literal["linear", "hidden", "logit"] = "linear"
    hidden: int = Field(128, ge=1, le=8192)
    minutes: float | None = Field(None, gt=0)
    freeze: str = "auto"
    augment: str | dict[str, Any] = "light"
    views: int = Field(8, ge=1, le=1000)
    probe_views: int = Field(1, ge=1, le=1000)
    epochs: int | None = Field(None, ge=1)
    batch: int = Field(64, ge=1)
    accumulate: int = Field(1, ge=1)
    optimiser: Literal["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.05, ge=0)
    lr: str | None = None
    lr_spacing: Literal["factor", "steps"] = "factor"
    scale_lr: bool = False
    schedule: str = "one-cycle"
    schedule_options: dict[str, float] = Field(default_factory=dict)
    warmup: float = Field(0, ge=0)
    loss: str = "cross-entropy"
    label_smoothing: float = Field(0, ge=0, lt=1)
    focal_gamma: float = Field(2, ge=0)
    mixup: float | None = Field(None, ge=0)
    cutmix: float | None = Field(None, ge=0)
    noise: float | None = Field(None, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    clip: float | None = Field(None, gt=0)
    average: float = Field(0, ge=0, lt=1)
    norms: Literal["frozen", "trained"] | None = None
    gradual: int = Field(0, ge=0)
    zero_gamma: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    patience: int | None = Field(None, ge=1)
    monitor: Literal["loss", "accuracy", "balanced_accuracy"] = "loss"
    keep: Literal["best", "last"] = "best"
    every: int | None = Field(None, ge=1)
    teacher: Path | None = None
    teacher_weight: float = Field(0.5, ge=0, le=1)
    teacher_temperature: float = Field(2, gt=0)

    @property
    def planned_epochs(self) -> int:
        """How many epochs of training: as given by hand, or the method's."""
        return self.epochs or (SCRATCH_EPOCHS if self.from_scratch else EPOCHS)

    @property
    def trains_norms(self) -> bool:
        """Whether batch norms measure the images anew; from scratch there is nothing that they could keep."""
        return self.from_scratch or self.norms == "trained"

    @field_validator("schedule_options", mode="before")
    @classmethod
    def _options_as_mapping(cls, value: object) -> object:
        return dict(part.partition("=")[::2] for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("lr", mode="before")
    @classmethod
    def _rate_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


ALIASES = {
    "imgsz": "image_size",
    "model": "backbone",
    "group": "group_by",
    "batch_size": "batch",
    "optimizer": "optimiser",
    "rate": "lr",
    "learning_rate": "lr",
}
AUTO = "auto"  # as a backbone: it is chosen by the training images
EPOCHS, SCRATCH_EPOCHS = 12, 30  # unless --epochs says otherwise
METHODS = {"fast": "probe", "balanced": "finetune", "best": "finetune"}  # what a preset does unless --method says otherwise
HEEDED_WITH: dict[str, tuple[str, tuple[str, ...]]] = {  # looked at only where another setting has one of these values
    "hidden": ("head", ("hidden",)),
    "momentum": ("optimiser", ("momentum", "adam", "adamw")),
    "focal_gamma": ("loss", ("focal",)),
}
UNHEEDED = ("gallery",)  # what a run keeps and shows, but does not learn from
RESOLVED = "resolved"  # the section of config.yaml that says what the run made of the settings; not read back


def make_settings(given: dict[str, Any]) -> Settings:
    """Check settings given by name.

    Raises:
        UsageError: Unknown names (with the closest match), bad values, and values that do not go with the method, all together.
    """
    named = {ALIASES.get(key, str(key)): value for key, value in given.items()}
    try:
        settings = Settings(**named)
    except ValidationError as error:
        raise_all([_problem(detail) for detail in error.errors()])
        raise
    raise_all(_contradictions(settings))
    return settings


def heeded(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some settings, given by name, that what is learnt depends on.

    Args:
        given: Name → value; what is not in it has its default.
    """

    def value(name: str) -> Any:
        return given.get(name, Settings.model_fields[name].default)

    needed = {name: HEEDED_WITH[name] for name in given if name in HEEDED_WITH}
    idle = {name for name, (other, values) in needed.items() if value(other) not in values}
    return {name: found for name, found in given.items() if name not in idle and name not in UNHEEDED}


def read_settings(path: Path, overrides: dict[str, Any]) -> Settings:
    """Read ``config.yaml`` of a run or a recipe; what is given by hand wins.

    Raises:
        UsageError: The file is missing, no YAML mapping, or has unknown names or bad values.
    """
    content = _content(path)
    content.pop(RESOLVED, None)
    if "test" in overrides:  # else what the file cuts from the validation part would take its place
        content.pop("test_from_val", None)
    return make_settings({**content, **overrides})


def read_resolved(path: Path) -> dict[str, Any]:
    """Return what a run made of its settings, as its ``config.yaml`` says; empty for a recipe.

    Raises:
        UsageError: As `read_settings`.
    """
    resolved = _content(path).get(RESOLVED)
    return resolved if isinstance(resolved, dict) else {}


def to_yaml(settings: Settings, resolved: dict[str, Any]) -> str:
    """Return the text of ``config.yaml``: the settings, and what the run made of them."""
    import yaml

    header = "# Repeat this run with: seefit train --config config.yaml\n"
    content = {**settings.model_dump(mode="json"), RESOLVED: resolved}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    if yaml.safe_load(text) != content:  # PyYAML writes U+0085 plainly and reads it as a line end
        text = yaml.safe_dump(content, sort_keys=False)
    return header + text


def _content(path: Path) -> dict[Any, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _bad_file(path, f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if not isinstance(content, dict):
        raise _bad_file(path, type(content).__name__)
    return content


def _problem(detail: Any) -> SeefitError:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        try:
            unknown_name("setting", name, Settings.model_fields)
        except UsageError as error:
            return error
    if detail["type"] == "missing":
        hint = "Name the images: `seefit train DATA --config FILE`"  # all else has a default
        return UsageError("A setting is missing", where=name, expected="a value", got="none", hint=hint)
    option = f"--{name.replace('_', '-')}"
    return UsageError(
        "Bad setting", where=option, expected=_expected(detail), got=repr(detail["input"]), hint=f"See `seefit train --help` for {option}"
    )


def _contradictions(settings: Settings) -> list[SeefitError]:
    """Return the settings that do not go with the method."""
    if settings.from_scratch:
        if settings.backbone == AUTO:
            hint = "Name one with --backbone"
            got = "auto, which compares features of pretrained weights"
            return [UsageError("Settings that do not go together", where="--method scratch", expected="a network", got=got, hint=hint)]
        usable: dict[str, tuple[object, ...]] = {
            "features": ("pooled", "auto"),
            "head": ("linear",),
            "freeze": ("none", "auto"),
            "norms": ("trained", None),
            "gradual": (0,),
        }
        wrong = [name for name, values in usable.items() if getattr(settings, name) not in values]
        return [_contradiction(settings, name, f"{usable[name][0]}, since all of the network is trained") for name in wrong]
    if settings.way == "finetune" and settings.zero_gamma:
        return [_contradiction(settings, "zero_gamma", "--method scratch, since a pretrained network would lose what its blocks learned")]
    return []


def _contradiction(settings: Settings, name: str, expected: str) -> UsageError:
    option = f"--{name.replace('_', '-')}"
    got = f"{getattr(settings, name)} with --method {settings.way}"
    return UsageError("Settings that do not go together", where=option, expected=expected, got=got, hint=f"Leave {option} out")


def _expected(detail: Any) -> str:
    text = str(detail["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _bad_file(path: Path, got: str) -> UsageError:
    return UsageError(
        "Cannot read the settings", where=path, expected="a YAML file of settings", got=got, hint="Name a config.yaml with --config"
    )
