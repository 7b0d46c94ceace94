from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from seefit.errors import UsageError
from seefit.files import write_text
from seefit.settings import ALIASES, RESOLVED, ProbeSettings, make_settings, read_settings, to_yaml


def refused(given: dict[str, Any]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        make_settings(given)
    assert caught.value.exit_code == 2
    return caught.value


def test_defaults_are_those_of_the_design() -> None:
    found = make_settings({"data": "photos"}).model_dump()
    assert {name: found[name] for name in ProbeSettings.model_fields} == {
        "data": "photos", "labels": "folder", "root": None, "group_by": None, "follow_links": False, "sha256": None, "extend": None,
        "preset": "fast", "method": None, "backbone": "lite0", "features": "auto", "image_size": None, "fit": "auto",
        "class_weights": "none", "val": 0.15, "test": 0.15, "test_from_val": None, "max_skipped": 0.01, "max_pixels": 10**8,
        "allow_leak": False, "seed": 0, "device": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ({}, "probe"),
        ({"preset": "balanced"}, "finetune"),
        ({"preset": "balanced", "method": "probe"}, "probe"),
        ({"method": "finetune"}, "finetune"),
        ({"method": "scratch"}, "scratch"),
    ],
)
def test_a_preset_says_the_method_unless_it_is_given(given: dict[str, Any], way: str) -> None:
    assert make_settings({"data": "d", **given}).way == way


def test_what_depends_on_the_method() -> None:
    finetuned, scratch = (make_settings({"data": "d", "method": method, "seed": 7}) for method in ("finetune", "scratch"))
    assert (finetuned.planned_epochs, finetuned.trains_norms, finetuned.weights_seed) == (12, False, None)
    assert (scratch.planned_epochs, scratch.trains_norms, scratch.weights_seed) == (30, True, 7)
    assert make_settings({"data": "d", "method": "finetune", "norms": "trained", "epochs": 3}).trains_norms


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"method": "scratch", "freeze": "all"}, "--freeze"),
        ({"method": "scratch", "norms": "frozen"}, "--norms"),
        ({"method": "scratch", "features": "stages"}, "--features"),
        ({"method": "scratch", "gradual": 1}, "--gradual"),
        ({"method": "scratch", "head": "hidden"}, "--head"),
        ({"method": "finetune", "zero_gamma": True}, "--zero-gamma"),
    ],
)
def test_what_does_not_go_with_the_method_is_refused(given: dict[str, Any], option: str) -> None:
    error = refused({"data": "d", **given})
    assert error.message.startswith(f"Settings that do not go together: {option}. Expected ")
    assert error.hint == f"Leave {option} out."


def test_pretrained_blocks_are_not_started_at_zero() -> None:
    assert refused({"data": "d", "preset": "balanced", "zero_gamma": True}).message == (
        "Settings that do not go together: --zero-gamma. Expected --method scratch, since a pretrained network would lose "
        "what its blocks learned, got True with --method finetune."
    )


def test_options_of_a_schedule_and_rates_may_be_text_or_numbers() -> None:
    assert make_settings({"data": "d", "schedule_options": "drop=0.1,every=7"}).schedule_options == {"drop": 0.1, "every": 7}
    assert make_settings({"data": "d", "lr": 0.001}).lr == make_settings({"data": "d", "lr": "0.001"}).lr == "0.001"
    assert refused({"data": "d", "schedule_options": "drop"}).message.startswith(
        "Bad setting: --schedule-options.drop. Expected a valid number"
    )


def test_a_path_is_taken_as_data() -> None:
    assert make_settings({"data": Path("a") / "b"}).data == "a/b"


@pytest.mark.parametrize(("alias", "name"), sorted(ALIASES.items()))
def test_short_names_mean_the_long_ones(alias: str, name: str) -> None:
    value = {"image_size": 64, "batch": 64, "optimiser": "sgd"}.get(name, "x")
    assert getattr(make_settings({"data": "d", alias: value}), name) == value


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        make_settings({"data": "d"}).seed = 3


def test_an_unknown_name_gets_the_closest_match_and_the_list() -> None:
    error = refused({"data": "d", "backbon": "lite0"})
    assert error.message == "Unknown setting: backbon. Expected a known setting, got 'backbon'."
    assert error.hint.startswith("Did you mean 'backbone'? Choose one of: accumulate, allow_leak, augment, average, backbone, ")


def test_all_problems_are_told_together() -> None:
    error = refused({"valu": 0.1, "test": 2, "fit": "stretch"})
    assert error.message.splitlines() == [
        "A setting is missing: data. Expected a value, got none.",
        "Bad setting: --fit. Expected 'auto', 'crop', 'pad' or 'squash', got 'stretch'.",
        "Bad setting: --test. Expected less than 1, got 2.",
        "Unknown setting: valu. Expected a known setting, got 'valu'.",
    ]
    assert "See `seefit train --help` for --fit." in error.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("val", -0.1), ("val", 1), ("val", math.nan), ("val", "much"), ("test", math.inf), ("test_from_val", 0), ("test_from_val", 1),
        ("seed", -1), ("seed", 2**32), ("seed", 1.5), ("max_skipped", 1.1), ("max_pixels", 0), ("image_size", 2.5),
        ("preset", "finest"), ("method", "scrath"), ("features", "all"), ("device", "tpu"), ("class_weights", "heavy"),
        ("backbone", None), ("labels", 3), ("allow_leak", "perhaps"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(name: str, value: object) -> None:
    error = refused({"data": "d", name: value})
    assert error.message.startswith(f"Bad setting: --{name.replace('_', '-')}. Expected ")
    assert error.message.endswith(f"got {value!r}.")


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=15, deadline=None)
@for_any(
    data=text, labels=text, root=st.none() | st.just(Path("a b/ç")), val=st.floats(0, 0.99), seed=st.integers(0, 2**32 - 1),
    fit=st.sampled_from(["auto", "crop", "pad", "squash"]), leak=st.booleans(), share=st.none() | st.floats(0.01, 0.99),
)  # fmt: skip
def test_any_settings_come_back_from_their_file(
    tmp_path_factory: pytest.TempPathFactory,
    data: str,
    labels: str,
    root: Path | None,
    val: float,
    seed: int,
    fit: Any,
    leak: bool,
    share: Any,
) -> None:
    given = {"data": data, "labels": labels, "root": root, "val": val, "seed": seed, "fit": fit, "allow_leak": leak, "test_from_val": share}
    chosen = make_settings(given)
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(to_yaml(chosen, {"engine": "x", "root": "/y"}), "utf-8")
    assert read_settings(path, {}) == chosen


@pytest.mark.parametrize("data", ["a\x85b", "\u2028", "猫/ünï", "byte\udcff", "yes", "1e3", "#x: [y]", "a\nb"])
def test_any_folder_name_comes_back_from_the_file(tmp_path: Path, data: str) -> None:
    write_text(tmp_path / "config.yaml", to_yaml(make_settings({"data": data}), {"root": data}))
    assert read_settings(tmp_path / "config.yaml", {}).data == data


def test_what_is_given_by_hand_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(make_settings({"data": "d", "seed": 1, "val": 0.2}), {"seed": 9}))
    found = read_settings(path, {"seed": 5, "model": "lite2"})
    assert (found.seed, found.val, found.backbone) == (5, 0.2, "lite2")


def test_a_test_share_by_hand_wins_over_one_from_the_validation_part(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: d\nval: 0.2\ntest_from_val: 0.5\n")
    assert read_settings(path, {}).test_from_val == 0.5
    found = read_settings(path, {"test": 0.1})
    assert (found.test, found.test_from_val) == (0.1, None)
    assert read_settings(path, {"test": 0.1, "test_from_val": 0.3}).test_from_val == 0.3


def test_the_file_says_how_to_repeat_the_run_and_what_was_resolved(tmp_path: Path) -> None:
    content = to_yaml(make_settings({"data": "d"}), {"engine": "onnxruntime-fp32"})
    assert content.startswith("# Repeat this run with: seefit train --config config.yaml\n")
    assert yaml.safe_load(content)[RESOLVED] == {"engine": "onnxruntime-fp32"}


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"- a\n- b\n", "got list."),
        (b"", "got NoneType."),
        (b"a: [1\n", "got ParserError: while parsing a flow sequence."),
        (b"a: \xff\xfe\n", "got UnicodeDecodeError: "),
        (b"a: !!python/object/apply:os.system ['true']\n", "got ConstructorError: could not determine a constructor"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_settings(path, {})
    assert caught.value.message.startswith(f"Cannot read the settings: {path}. Expected a YAML file of settings, {got}")
    assert caught.value.hint == "Name a config.yaml with --config."


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got FileNotFoundError: .*No such file or directory"):
        read_settings(tmp_path / "none.yaml", {})


def test_names_in_the_file_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: d\nbackbne: lite0\n3: x\n")
    with pytest.raises(UsageError) as caught:
        read_settings(path, {})
    assert "Unknown setting: backbne." in caught.value.message
    assert "Unknown setting: 3." in caught.value.message
