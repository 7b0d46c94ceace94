"""What ``--vary`` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from seefit.errors import UsageError
from seefit.studies.arms import Arm, Vary, make_arms, parse_vary


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("augment=none,any-way-up", "augment", ("none", "any-way-up")),
        ("augment=none;light,rotation=20", "augment", ("none", "light,rotation=20")),
        ("image-size = 160, 224", "image_size", ("160", "224")),
        ("rate=0.1,0.01", "lr", ("0.1", "0.01")),
        ("optimizer=sgd,adam", "optimiser", ("sgd", "adam")),
        ("amount=1,0.5", "amount", ("1", "0.5")),
        ("clean=no,fixes.csv", "clean", ("no", "fixes.csv")),
    ],
)
def test_values_are_read(text: str, name: str, values: tuple[str, ...]) -> None:
    assert parse_vary(text) == Vary(name, values)


@pytest.mark.parametrize("text", ["augment", "augment=none", "augment=none,none", "augment=none,,light", "=a,b", ""])
def test_what_compares_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"Nothing to compare|Unknown setting"):
        parse_vary(text)


@pytest.mark.parametrize("name", ["seed", "data", "val", "test", "nonsense"])
def test_what_all_arms_must_share_cannot_be_varied(name: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_vary(f"{name}=1,2")
    assert error.value.message == f"Unknown setting to vary: {name}. Expected a known setting to vary, got {name!r}."


def arms(text: str, **given: object) -> list[Arm]:
    return make_arms({"data": "x", **given}, parse_vary(text))


def test_each_arm_differs_in_one_setting_alone() -> None:
    first, second = arms("backbone=lite0,lite1", image_size=160)
    assert (first.name, first.settings.backbone, second.settings.backbone) == ("lite0", "lite0", "lite1")
    assert first.settings.model_copy(update={"backbone": "lite1"}) == second.settings
    assert first.by_probe


def test_augmentation_of_a_probe_is_that_of_its_views() -> None:
    assert [(arm.settings.augment, arm.settings.probe_views) for arm in arms("augment=none,light")] == [("none", 8), ("light", 8)]
    assert [arm.settings.probe_views for arm in arms("augment=none,light", probe_views=4)] == [4, 4]


def test_what_only_training_looks_at_trains() -> None:
    assert [arm.settings.way for arm in arms("optimiser=sgd,adamw")] == ["finetune", "finetune"]
    assert [arm.settings.way for arm in arms("epochs=3,6", method="scratch", backbone="small")] == ["scratch", "scratch"]
    assert [arm.settings.way for arm in arms("method=probe,finetune")] == ["probe", "finetune"]


def test_arms_that_would_be_the_same_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        arms("optimiser=sgd,adamw", method="probe")
    assert (
        error.value.message
        == "All arms would be the same: --vary optimiser. Expected a method that looks at it, got a probe, which does not."
    )
    assert error.value.hint == "Add --method finetune."


def test_arms_that_differ_by_name_alone_are_refused() -> None:
    for text, hint in (
        ("hidden=64,128", "with --head hidden"),
        ("focal-gamma=1,2", "with --loss focal"),
        ("gallery=true,false", "another"),
    ):
        with pytest.raises(UsageError, match="Two arms would be the same") as error:
            arms(text, method="finetune")
        assert hint in (error.value.hint or "")
    assert len(arms("hidden=64,128", method="finetune", head="hidden")) == 2
    assert len(arms("momentum=0.8,0.9")) == 2, "the first beta of AdamW"


def test_several_networks_in_a_fold_are_refused() -> None:
    with pytest.raises(UsageError, match="A study trains one network per fold"):
        arms("preset=fast,best")


def test_amount_and_corrections_are_no_settings() -> None:
    whole, half = arms("amount=1,0.5")
    assert (whole.amount, half.amount, whole.settings) == (1.0, 0.5, half.settings)
    as_is, fixed = arms("clean=no,some/fixes.csv")
    assert (as_is.fixes, fixed.fixes, as_is.settings) == (None, Path("some/fixes.csv"), fixed.settings)


def test_all_bad_values_are_told_together() -> None:
    with pytest.raises(UsageError) as error:
        arms("amount=0,0.5,2,half")
    assert error.value.message.count("Bad amount of data") == 3
    with pytest.raises(UsageError, match="Unknown augmentation"):
        arms("augment=none,stronk")
