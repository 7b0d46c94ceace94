from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seefit.data.dataset import Sample, Skip
from seefit.data.scan import Scan
from seefit.data.split import Split
from seefit.data.splitfile import SplitRow
from seefit.errors import RunError, UsageError
from seefit.resuming import agree, check_same_split, check_unchanged, located, read_start, reopen, repeat, split_before
from seefit.runs import is_finished
from seefit.settings import Settings, make_settings, to_yaml

Image = tuple[str, str, str]  # name, label, content


def rows_of(images: list[Image]) -> list[SplitRow]:
    return [SplitRow(name, label, "train", None, 1.0, content) for name, label, content in images]


def scan_of(images: list[Image], **more: Any) -> Scan:
    samples = [Sample(Path(name), name, label) for name, label, _ in images]
    return Scan(samples, [content for _, _, content in images], np.full((len(images), 2), 8), list(range(len(images))), **more)


BEGAN: list[Image] = [(f"{label}/{i}.png", label, f"{label}{i}") for label in ("cat", "dog") for i in range(4)]


def make_start(run: Path, settings: Settings, **resolved: Any) -> Path:
    run.mkdir()
    (run / "config.yaml").write_text(to_yaml(settings, resolved))
    return run


def test_the_same_images_are_the_same_whatever_their_order() -> None:
    check_unchanged(Path("run"), rows_of(BEGAN), scan_of(BEGAN), ("cat", "dog"))
    check_unchanged(Path("run"), rows_of(BEGAN), scan_of(BEGAN[::-1]), ("cat", "dog"))


@pytest.mark.parametrize(
    ("now", "got"),
    [
        ([*BEGAN, ("cat/9.png", "cat", "new")], "1 added (cat/9.png)"),
        (BEGAN[1:], "1 removed (cat/0.png)"),
        ([("cat/0.png", "dog", "cat0"), *BEGAN[1:]], "1 relabelled (cat/0.png)"),
        ([*BEGAN[1:], ("dog/0b.png", "dog", "cat0")], "1 relabelled (dog/0b.png)"),  # moved to another class folder
        ([("cat/0.png", "cat", "other"), *BEGAN[1:]], "1 changed (cat/0.png)"),
        ([("cat/new.png", "cat", "cat0"), *BEGAN[1:]], "1 added (cat/new.png); 1 removed (cat/0.png)"),
        ([*BEGAN[:4], *((f"dog/{i}.png", "dog", f"x{i}") for i in range(10, 17))],
         "7 added (dog/10.png, dog/11.png, dog/12.png, dog/13.png, dog/14.png, … 7 in all); "
         "4 removed (dog/0.png, dog/1.png, dog/2.png, dog/3.png)"),
        ([], "8 removed (cat/0.png, cat/1.png, cat/2.png, cat/3.png, dog/0.png, … 8 in all)"),
    ],
)  # fmt: skip
def test_what_changed_is_named(now: list[Image], got: str) -> None:
    with pytest.raises(RunError) as caught:
        check_unchanged(Path("runs/x"), rows_of(BEGAN), scan_of(now), ("cat", "dog"))
    assert caught.value.exit_code == 4
    assert (
        caught.value.message
        == f"The data changed since the run began: runs/x. Expected the 8 images and labels of its split.csv, got {got}."
    )
    assert caught.value.hint == "Put the data back as they were, or train anew with `seefit train --config runs/x/config.yaml`."


def test_another_soft_target_is_another_label() -> None:
    rows, seen = rows_of(BEGAN), scan_of(BEGAN)
    rows[0] = replace(rows[0], target={"cat": 0.75, "dog": 0.25})
    rows[1] = replace(rows[1], target={"cat": 1.0})

    def compared(first: tuple[float, float] | None, last: tuple[float, float] | None = None) -> None:
        given = {0: first, 1: (1.0, 0.0), 7: last}
        samples = [replace(sample, target=given.get(i)) for i, sample in enumerate(seen.samples)]
        check_unchanged(Path("run"), rows, replace(seen, samples=samples), ("cat", "dog"))

    compared((0.75, 0.25))
    for target in ((0.7, 0.3), None):
        with pytest.raises(RunError, match=r"got 1 relabelled \(cat/0\.png\)\."):
            compared(target)
    with pytest.raises(RunError, match=r"got 1 relabelled \(dog/3\.png\)\."):
        compared((0.75, 0.25), (0.0, 1.0))


def test_what_cannot_be_used_any_more_says_why() -> None:
    seen = scan_of(BEGAN[1:], skips=[Skip("cat/0.png", "truncated PNG", 10)], unreadable=[Skip("x", "permission denied", 0)])
    with pytest.raises(RunError, match=r"got 1 removed \(cat/0\.png: truncated PNG\)\."):
        check_unchanged(Path("run"), rows_of(BEGAN), seen, ("cat", "dog"))


def test_other_parts_groups_and_weights_are_named() -> None:
    rows = rows_of(BEGAN[:4])
    samples = [Sample(Path(row.path), row.path, row.label) for row in rows]
    check_same_split(Path("run"), rows, samples, Split(["train"] * 4, [0, 1, 2, 3], 0))
    samples[1] = Sample(Path("x"), samples[1].name, "cat", group="g")
    samples[2] = Sample(Path("x"), samples[2].name, "cat", weight=0.5)
    with pytest.raises(RunError) as caught:
        check_same_split(Path("run"), rows, samples, Split(["train", "train", "train", "test"], [0, 1, 2, 3], 0))
    assert caught.value.message == (
        "The data changed since the run began: run. Expected the parts, groups and weights of its split.csv, "
        "got 3 others (cat/1.png, cat/2.png, cat/3.png)."
    )


def test_the_start_of_a_run_is_read_back(tmp_path: Path) -> None:
    settings = make_settings({"data": "photos", "seed": 3, "root": "there"})
    run = make_start(tmp_path / "run", settings, started_in="/somewhere")
    assert read_start(run) == (settings, Path("/somewhere"))
    assert split_before(run) is None


def test_a_folder_that_training_did_not_make_is_refused(tmp_path: Path) -> None:
    copied = make_start(tmp_path / "copied", make_settings({"data": "photos"}), root="/x", started_in="/x")
    (tmp_path / "mine").mkdir()
    for folder, got in ((copied, "a folder that training did not make"), (tmp_path / "mine", "a folder that training did not make"),
                        (tmp_path / "none", "no such folder")):  # fmt: skip
        with pytest.raises(RunError) as caught:
            read_start(folder)
        assert caught.value.message == f"Nothing to resume: {folder}. Expected the folder of a run, got {got}."
        assert caught.value.hint == "`seefit runs` lists the runs."


def test_a_run_is_repeated_with_the_paths_it_had_and_a_recipe_with_those_of_the_working_folder(tmp_path: Path) -> None:
    settings = make_settings({"data": "photos", "seed": 3, "root": "there"})
    run = make_start(tmp_path / "run", settings, started_in="/began")
    again = repeat(run / "config.yaml", {})
    assert (again.data, again.root, again.seed) == ("/began/photos", Path("/began/there"), 3)
    by_hand = repeat(run / "config.yaml", {"data": "others", "model": "nets/mine.py:make", "seed": 4})
    assert (by_hand.data, by_hand.root, by_hand.backbone, by_hand.seed) == ("others", Path("/began/there"), "nets/mine.py:make", 4)
    for resolved in ("", "resolved: {}\n", "resolved: 3\n"):
        (tmp_path / "recipe.yaml").write_text(f"data: photos\nroot: there\n{resolved}")
        assert repeat(tmp_path / "recipe.yaml", {"seed": 3}) == settings


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("photos", "/began/photos"),
        ("/else/photos", "/else/photos"),
        ("../labels.csv", "/began/../labels.csv"),
        ("demo:elpv", "demo:elpv"),
        ("https://example.org/x.zip", "https://example.org/x.zip"),
    ],
)
def test_relative_paths_are_meant_from_where_the_run_began(data: str, found: str) -> None:
    settings = make_settings({"data": data, "root": "images", "extend": "runs/x"})
    moved = located(settings, Path("/began"))
    assert (moved.data, moved.root, moved.extend) == (found, Path("/began/images"), Path("/began/runs/x"))
    assert located(settings, Path.cwd()) == settings
    bare = located(make_settings({"data": data}), Path("/began"))
    assert (bare.root, bare.extend, bare.backbone) == (None, None, "lite0")
    own = located(make_settings({"data": data, "backbone": "nets/mine.py:make"}), Path("/began"))
    assert own.backbone == "/began/nets/mine.py:make"
    several = located(make_settings({"data": data, "preset": "best", "backbone": "lite0,nets/mine.py:make"}), Path("/began"))
    assert several.backbone == "lite0,/began/nets/mine.py:make"


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"seed": 5}, ["--seed. Expected 0, got 5."]),
        ({"seed": 5, "device": "cuda"}, ["--seed. Expected 0, got 5.", "--device. Expected auto, got cuda."]),
        ({"epochs": 3}, ["--epochs. Expected a run that trains the upper layers, got a probe, which has no epochs."]),
    ],
)
def test_other_settings_are_refused(given: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        agree(make_settings({"data": "photos"}), given)
    assert caught.value.message.splitlines() == [f"Cannot resume with another setting: {problem}" for problem in problems]
    assert caught.value.hint.splitlines() == [f"Leave --{name} out." for name in given]


def test_epochs_may_grow_and_nothing_else_changes() -> None:
    began = make_settings({"data": "photos", "method": "finetune", "epochs": 3})
    assert agree(began, {"epochs": 5}) == began.model_copy(update={"epochs": 5})
    assert agree(began, {"epochs": 3, "seed": 0}) == began
    with pytest.raises(UsageError, match=r"--epochs\. Expected at least the 3 that the run began with, got 2\."):
        agree(began, {"epochs": 2})


def test_a_finished_run_that_goes_on_counts_as_unfinished_and_keeps_its_new_settings(tmp_path: Path) -> None:
    began = make_settings({"data": "photos", "method": "finetune", "epochs": 3})
    run = make_start(tmp_path / "run", began, started_in="/began", root="/began/photos")
    (run / "split.csv").write_text("path,label,split,group,weight,sha256\n")
    (run / "metrics.json").write_text(json.dumps({"test": {"n": 4}, "seconds": {"scan": 1, "report": 1}}))
    assert is_finished(run)
    said = reopen(run, began, agree(began, {"epochs": 5}))
    assert (
        said == "With 5 epochs the schedule 'one-cycle' is stretched over all epochs: the rate jumps up to where the longer cycle stands."
    )
    assert not is_finished(run)
    assert json.loads((run / "metrics.json").read_text()) == {"test": {"n": 4}, "seconds": {"scan": 1}}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["epochs"], config["resolved"]) == (5, {"started_in": "/began", "root": "/began/photos"})
    assert read_start(run)[0].epochs == 5


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("constant", "With 5 epochs the schedule 'constant' goes on as it was."),
        ("time", "With 5 epochs the schedule 'time' falls more slowly, also over the epochs that are done, unless its decay is given."),
    ],
)
def test_what_more_epochs_do_is_said_of_the_schedule_that_the_run_has(tmp_path: Path, schedule: str, said: str) -> None:
    began = make_settings({"data": "photos", "method": "finetune", "epochs": 3, "schedule": schedule})
    assert reopen(make_start(tmp_path / "run", began), began, agree(began, {"epochs": 5})) == said
