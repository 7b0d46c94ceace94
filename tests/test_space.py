"""What a search may try: spaces in YAML, checked as a whole before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from seefit.errors import UsageError
from seefit.settings import make_settings
from seefit.studies.space import SHIPPED, Choice, Range, make_space, read_space

HERE = ("lite0", "lite1")


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_can_be_read_and_written_and_read_again(name: str, tmp_path: Path) -> None:
    space = read_space(name, HERE)
    assert space.method == name
    file = tmp_path / "space.yaml"
    file.write_text(space.to_yaml())
    assert read_space(str(file), ()) == space
    assert make_settings({"data": "x", "method": name}).way == space.settings({"data": "x"}, space.usual()).way


def test_the_first_trial_is_what_seefit_does_by_itself() -> None:
    usual = read_space("probe", HERE).usual()
    assert usual == {"backbone": "lite0", "features": "auto", "image_size": None, "class_weights": "none"}
    assert make_space({"lr": {"low": 0.001, "high": 0.1, "log": True}, "method": "finetune"}, ()).usual() == {"lr": 0.01}


def test_a_space_that_can_be_counted_lists_every_trial_once() -> None:
    space = make_space({"method": "finetune", "epochs": {"low": 2, "high": 4}, "dropout": [0, 0.5]}, ())
    every = [tuple(sorted(params.items())) for params in space.every()]
    assert space.count == len(every) == len(set(every)) == 6
    assert make_space({"method": "finetune", "lr": {"low": 0.1, "high": 0.2}}, ()).count is None


def test_two_spellings_of_one_value_are_one_choice() -> None:
    assert make_space({"class_weights": ["default", "none", "balanced"]}, ()).searched == {"class_weights": Choice(("none", "balanced"))}


def test_numbers_of_a_range_are_rounded_and_stay_within() -> None:
    found = Range(0.00012345, 0.1, log=True)
    assert found.rounded(0.012345) == 0.0123
    assert found.rounded(0.00012345) == 0.00012345
    assert make_space({"method": "finetune", "lr": {"low": "1e-4", "high": "1e-2", "log": True}}, ()).searched["lr"] == Range(
        1e-4, 1e-2, True
    )


def test_the_share_of_images_is_no_setting_of_a_run() -> None:
    space = make_space({"share": [0.5, 1], "class_weights": "balanced"}, ())
    assert space.share({"share": 0.5}) == 0.5
    assert space.settings({"data": "x"}, {"share": 0.5}).class_weights == "balanced"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"bakcbone": ["lite0", "lite1"]}, "Did you mean 'backbone'"),
        ({"backbone": ["lite0", "lite1"], "seed": [1, 2]}, "Cannot be searched: seed"),
        ({"backbone": "lite0"}, "Nothing to search"),
        ({"lr": [0.1, 0.2]}, "A probe does not look at it: lr"),
        ({"method": ["probe", "finetune"]}, "One method at a time"),
        ({"class_weights": []}, "Bad choices: class_weights"),
        ({"class_weights": ["none", "unbalanced"]}, "unbalanced"),
        ({"share": [0, 1]}, "Bad share of the images"),
        ({"method": "finetune", "lr": {"low": 1, "high": 0.1}}, "Bad range: lr"),
        ({"method": "finetune", "lr": {"low": 0, "high": 0.1, "log": True}}, "low above 0"),
        ({"method": "finetune", "lr": {"low": 0.1, "hihg": 0.2}}, "Did you mean 'high'"),
        ({"method": "finetune", "hidden": [64, 128]}, "Trials would differ by name alone: hidden"),
        ({"method": "finetune", "gallery": [True, False], "lr": ["0.1", "0.2"]}, "Trials would differ by name alone: gallery"),
        ({"method": "finetune", "class_weights": ["none", "prior"]}, "Cannot be compared epoch by epoch"),
    ],
)
def test_bad_spaces_say_what_to_write(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        make_space(content, HERE)
    assert message in str(error.value)


def test_all_problems_come_together(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump({"bakcbone": ["lite0"], "test": [0.1, 0.2], "class_weights": {"low": 2, "high": 1}}))
    with pytest.raises(UsageError) as error:
        read_space(str(file), HERE)
    for part in ("bakcbone", "Cannot be searched: test", "Bad range: class_weights"):
        assert part in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "just words"])
def test_files_that_are_no_space(text: str, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match="Cannot read the space"):
        read_space(str(file), HERE)
    with pytest.raises(UsageError, match="No such space"):
        read_space(str(tmp_path / "none.yaml"), HERE)
