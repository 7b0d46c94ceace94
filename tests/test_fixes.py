"""fixes.csv: proposals, what a person makes of them, and the table that comes out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from conftest import read_csv
from seefit.data.fixes import COLUMNS, Fix, apply_fixes, effective, read_fixes, write_fixes, write_labels
from seefit.data.splitfile import SplitRow
from seefit.errors import DataError, UsageError

HOSTILE = '=1+1,<script>\n\t"\U0001f408"\'.png'
ROWS = [
    SplitRow("a.png", "cat", "train", "g", 1.0, "aa", {"cat": 0.7, "dog": 0.3}),
    SplitRow("b.png", "dog", "val", None, 0.5, "bb", {"dog": 1.0}),
    SplitRow(HOSTILE, "dog", "train", None, 1.0, "cc", None),
    SplitRow("d.png", "cat", "test", None, 1.0, "dd", None),
]
FIXES = [
    Fix("a.png", "cat", "relabel", "dog", "it looks so", 0.98, "aa"),
    Fix(HOSTILE, "dog", "remove", "", 'the same bytes as "b.png"', 1.0, "cc"),
    Fix("b.png", "dog", "look", "", "odd", 4.5, "bb"),
    Fix("a.png", "cat", "look", "", "odd, too", 4.1, "aa"),
]
CLASSES = {"cat", "dog"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_fixes(tmp_path / "fixes.csv", FIXES)
    return tmp_path / "fixes.csv"


def fill(path: Path, *cells: dict[str, str]) -> Path:
    """Write into some cells of the first rows, as a person would."""
    rows = read_csv(path)
    for row, change in zip(rows, cells, strict=False):
        row |= change
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_one_row_per_image_with_the_first_that_is_proposed(written: Path) -> None:
    rows = read_csv(written)
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["path"], row["action"], row["suggested"], row["score"], row["confirm"]) for row in rows] == [
        ("a.png", "relabel", "dog", "0.9800", ""),
        (HOSTILE, "remove", "", "1.0000", ""),
        ("b.png", "look", "", "4.5000", ""),
    ]


def test_what_a_person_began_to_fill_in_stays(written: Path) -> None:
    write_fixes(written, [])
    assert read_csv(written) == []
    write_fixes(written, FIXES)
    fill(written, {"confirm": "no"})
    before = written.read_bytes()
    write_fixes(written, [])
    assert written.read_bytes() == before


def test_confirmed_fixes_change_labels_and_rows_and_nothing_else(written: Path, tmp_path: Path) -> None:
    fill(written, {"confirm": "Yes"}, {"confirm": " x "}, {"confirm": "no"})
    fixes = effective(written, read_fixes(written, ROWS, CLASSES))
    fixed = apply_fixes(ROWS, fixes)
    assert [(row.path, row.label, row.split) for row in fixed] == [
        ("a.png", "dog", "train"),
        ("b.png", "dog", "val"),
        ("d.png", "cat", "test"),
    ]
    write_labels(tmp_path / "new.csv", fixed)
    assert (tmp_path / "new.csv").read_text() == (
        "path,label,split,weight,group,p:dog\na.png,dog,train,1.0,g,1.0\nb.png,dog,val,0.5,,1.0\nd.png,cat,test,1.0,,\n"
    )


def test_spreadsheets_save_it_in_their_own_way(written: Path) -> None:
    text = written.read_text("utf-8").replace("0.9800,,aa", "0.9800,yes,aa")
    rows = list(csv.reader(text.splitlines(keepends=True)))
    with open(written, "w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle, delimiter=";", lineterminator="\r\n").writerows(rows)
    assert [(fix.path, fix.confirmed) for fix in read_fixes(written, ROWS, CLASSES)] == [
        ("a.png", True),
        (HOSTILE, False),
        ("b.png", False),
    ]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"confirm": "perhaps"}, "line 2. Expected yes, no or nothing as confirm, got 'perhaps'"),
        ({"path": "z.png"}, "line 2. Expected the path of an image of the run, got 'z.png'"),
        ({"sha256": "ee"}, "line 2. Expected a proposal about the a.png of this run, got one about another picture of that name"),
        ({"action": "delete"}, "line 2. Expected relabel, remove or look as action, got 'delete'"),
        ({"label": "dog"}, "line 2. Expected the label 'cat' as the run has it, got 'dog'"),
        ({"suggested": "dgo"}, "line 2. Expected a class of the run as suggested, got 'dgo'"),
        ({"suggested": ""}, "line 2. Expected a class of the run as suggested, got ''"),
    ],
)
def test_wrong_rows_are_named(written: Path, cells: dict[str, str], message: str) -> None:
    fill(written, {"confirm": "yes", **cells})
    with pytest.raises(DataError) as caught:
        read_fixes(written, ROWS, CLASSES)
    assert caught.value.message == f"Cannot apply the fixes: {written}, {message}."


def test_a_mistyped_class_gets_the_closest_one_and_the_way_to_a_new_one(written: Path) -> None:
    fill(written, {"confirm": "yes", "suggested": "dgo"})
    with pytest.raises(DataError) as caught:
        read_fixes(written, ROWS, CLASSES)
    assert caught.value.hint == (
        "Did you mean 'dog'? Choose one of: cat, dog; to make a new class, change the labels in the CSV that is written."
    )


def test_problems_are_told_together_and_rows_without_yes_do_not_matter(written: Path) -> None:
    fill(written, {"confirm": "yes", "path": "z.png"}, {"path": "y.png"}, {"confirm": "?"})
    with pytest.raises(DataError) as caught:
        read_fixes(written, ROWS, CLASSES)
    assert len(caught.value.message.splitlines()) == 2


def test_an_image_is_confirmed_once(written: Path) -> None:
    fill(written, {"confirm": "yes"}, {}, {"path": "a.png", "label": "cat", "sha256": "aa", "confirm": "yes"})
    with pytest.raises(DataError, match=r"Expected each image confirmed once, got 'a\.png' 2 times"):
        read_fixes(written, ROWS, CLASSES)


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,label\na.png,cat\n")
    with pytest.raises(DataError, match="Expected the columns path, label, action"):
        read_fixes(tmp_path / "x.csv", ROWS, CLASSES)


def test_nothing_to_apply_is_said(written: Path) -> None:
    with pytest.raises(UsageError, match="got 3 proposals, none confirmed"):
        effective(written, read_fixes(written, ROWS, CLASSES))
    fill(written, {"confirm": "yes", "suggested": "cat"}, {}, {"confirm": "yes"})
    with pytest.raises(UsageError, match="got 2 confirmed that change nothing"):
        effective(written, read_fixes(written, ROWS, CLASSES))
