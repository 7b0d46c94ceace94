from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import read_csv
from seefit.data.splitfile import write_split
from seefit.errors import DataError, RunError, UsageError
from seefit.gathering import Gathered, gather
from seefit.settings import make_settings


@pytest.fixture
def photos(warm: Path, tmp_path: Path) -> Path:
    """Return a copy of the photographs of `trained`."""
    return shutil.copytree(warm, tmp_path / "photos")


@pytest.fixture
def begun(photos: Path, tmp_path: Path) -> Path:
    """Return a run folder that came as far as its split."""
    run = tmp_path / "run"
    run.mkdir()
    found = look(photos, run)
    write_split(run / "split.csv", found.seen.samples, found.split, found.seen.sha256)
    return run


def look(photos: Path, run: Path, **given: object) -> Gathered:
    return gather(make_settings({"data": str(photos), **given}), run)


def test_everything_that_training_needs_is_gathered(photos: Path, trained: Path, tmp_path: Path) -> None:
    found = look(photos, tmp_path)
    assert found.older is None
    assert found.dataset.classes == ("defective", "functional")
    rows = read_csv(trained / "split.csv")
    assert [(sample.name, part) for sample, part in zip(found.seen.samples, found.split.parts, strict=True)] == [
        (row["path"], row["split"]) for row in rows
    ]


def test_a_second_start_on_the_same_data_finds_the_same(photos: Path, begun: Path) -> None:
    found = look(photos, begun)
    assert [row["split"] for row in read_csv(begun / "split.csv")] == found.split.parts


def test_changed_data_stop_a_second_start_before_they_are_judged(photos: Path, begun: Path) -> None:
    """A class that lost all its images would be an error of the data; in a run that was begun it is a change."""
    for path in (photos / "functional").iterdir():
        path.unlink()
    with pytest.raises(RunError, match=r"^The data changed since the run began: .* got 30 removed \(functional/"):
        look(photos, begun)


@pytest.mark.parametrize("left", ["nothing", "folder"])
def test_data_that_are_gone_are_a_change_too(left: str, photos: Path, begun: Path) -> None:
    shutil.rmtree(photos)
    if left == "folder":
        photos.mkdir()
    with pytest.raises(RunError) as caught:
        look(photos, begun)
    assert caught.value.message.startswith(
        f"The data changed since the run began: {begun}. Expected the 60 images and labels of its split.csv, "
        "got data that cannot be read (Cannot "
    )


def test_without_an_earlier_start_the_data_are_judged_as_they_are(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        look(tmp_path / "none", tmp_path)
    for path in (photos / "functional").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="Empty classes"):
        look(photos, tmp_path)


def test_another_cut_stops_a_second_start(photos: Path, begun: Path) -> None:
    with pytest.raises(RunError, match=r"Expected the parts, groups and weights of its split\.csv, got \d+ others \("):
        look(photos, begun, seed=1)


def test_another_soft_target_stops_a_second_start(photos: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    run, table = tmp_path / "run", tmp_path / "photos" / "labels.csv"
    run.mkdir()

    def begin(first: float) -> Gathered:
        rows = [f"{name},{1 - p},{p}" for name, p in zip(names, [first, *(float("functional" in n) for n in names[1:])], strict=True)]
        table.write_text("\n".join(["path,p:defective,p:functional", *rows]))
        return gather(make_settings({"data": str(table)}), run)

    found = begin(0.25)
    write_split(run / "split.csv", found.seen.samples, found.split, found.seen.sha256, found.dataset.classes)
    begin(0.25)
    with pytest.raises(RunError, match=rf"^The data changed since the run began: .* got 1 relabelled \({names[0]}\)\."):
        begin(0.375)
