"""``split.csv``: every cell comes back, soft targets too, and what was changed by hand is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from seefit.data.dataset import Sample
from seefit.data.split import Split, make_split
from seefit.data.splitfile import SplitRow, read_split, soft_target, write_split
from seefit.errors import RunError
from test_split import sample


def test_split_csv_round_trips(tmp_path: Path) -> None:
    samples = [
        sample('a "1",\n2\t;é.png', "path", split="train", group="g,1", weight=1 / 3),
        sample("b\udcff.png", "p:x", split="val", weight=0.0),
        sample("c.png", "path", split="test"),
        sample("d.png", "p:x", split="train"),
    ]
    split = make_split(samples, digests_of := ["0a", "0b", "0c", "0d"], range(4))
    write_split(tmp_path / "split.csv", samples, split, digests_of)
    assert (tmp_path / "split.csv").read_text("utf-8", "surrogateescape").startswith("path,label,split,group,weight,sha256\n")
    assert read_split(tmp_path / "split.csv") == [
        SplitRow('a "1",\n2\t;é.png', "path", "train", "g,1", 1 / 3, "0a"),
        SplitRow("b\udcff.png", "p:x", "val", None, 0.0, "0b"),
        SplitRow("c.png", "path", "test", None, 1.0, "0c"),
        SplitRow("d.png", "p:x", "train", None, 1.0, "0d"),
    ]


def test_a_split_csv_that_was_edited(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("path,label,split,group,weight,sha256\na,x,trian,,1.0,0\nb,x,val,,heavy,0\nc,x,test,,1.0,0\n")
    with pytest.raises(RunError) as caught:
        read_split(path)
    assert caught.value.message == (
        f"Cannot read the split: {path}, row 1. Expected train, val or test as split, got 'trian'.\n"
        f"Cannot read the split: {path}, row 2. Expected a number of at least 0 as weight, got 'heavy'."
    )
    path.write_text("path,label\na,x\n")
    with pytest.raises(RunError, match="got no split, group, weight, sha256"):
        read_split(path)


def test_soft_targets_come_back_to_the_last_digit_by_the_names_of_their_classes(tmp_path: Path) -> None:
    classes = ("path", "p:x", 'a "1",\n2')
    thirds = (1 / 3, 2 / 3, 0.0)
    samples = [
        Sample(Path("a"), "a.png", "p:x", target=thirds),
        Sample(Path("b"), "b.png", "path"),
        Sample(Path("c"), "c.png", 'a "1",\n2', target=(0.0, 0.0, 1.0)),
    ]
    write_split(tmp_path / "split.csv", samples, Split(["train"] * 3, [0, 1, 2], 0), ["0a", "0b", "0c"], classes)
    rows = read_split(tmp_path / "split.csv")
    assert [row.target for row in rows] == [{"path": 1 / 3, "p:x": 2 / 3}, None, {'a "1",\n2': 1.0}]
    assert [row.target for row in rows] == [soft_target(each, classes) for each in samples]
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0].startswith('path,label,split,group,weight,sha256,p:path,p:p:x,"p:a ""1"",')
    assert "b.png,path,train,,1.0,0b,,," in lines


def test_a_soft_target_needs_the_names_of_its_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_split(tmp_path / "x.csv", [Sample(Path("a"), "a.png", "x", target=(1.0,))], Split(["train"], [0], 0), ["0a"])
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("cells", ["0.5,0.6", "1.5,-0.5", "much,0", "nan,1.0", "0.0,0.0", "inf,0"])
def test_soft_targets_that_were_edited(tmp_path: Path, cells: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(f"path,label,split,group,weight,sha256,p:x,p:y\na,x,train,,1.0,0,{cells}\nb,x,val,,1.0,0,,\nc,x,test,,1.0,0,1.0,\n")
    with pytest.raises(RunError) as caught:
        read_split(path)
    first, second = cells.split(",")
    assert caught.value.message == (
        f"Cannot read the split: {path}, row 1. Expected soft targets of at least 0 that sum to 1, got p:x = {first}, p:y = {second}."
    )
