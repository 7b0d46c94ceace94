"""CSV files: what is written is read back, and what users' tables may look like."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seefit.data.dataset import Dataset
from seefit.data.tables import load_table, read_labels, read_table, write_table
from seefit.errors import DataError
from test_listing import ODD_NAMES, touch

CELL = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\r\n",; \t\ufeff\udce9'), max_size=8)


def read(tmp_path: Path, text: str | bytes, *, files: Sequence[str] = ("cat/1.jpg", "cat/2.jpg"), root: Path | None = None) -> Dataset:
    touch(tmp_path, *files)
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(load_table(path), source=str(path), root=root or tmp_path)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    return caught.value.message.replace(str(tmp_path / "list.csv"), "CSV")


def pairs(dataset: Dataset) -> list[tuple[str, str | None]]:
    return [(sample.name, sample.label) for sample in dataset.samples]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=4))
def test_every_cell_comes_back(tmp_path: Path, rows: list[list[str]]) -> None:
    write_table(tmp_path / "t.csv", ["path", "p:p:x", "label"], rows)
    assert [list(row.values()) for row in read_table(tmp_path / "t.csv")] == rows


def test_a_single_empty_cell_is_a_row(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ["a"], [[""], ["x"], [None], [3]])
    assert read_table(tmp_path / "t.csv") == [{"a": ""}, {"a": "x"}, {"a": ""}, {"a": "3"}]


def test_others_read_what_is_written(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ["path", "n"], ((name, i) for i, name in enumerate(ODD_NAMES)))
    with open(tmp_path / "t.csv", encoding="utf-8", errors="surrogateescape", newline="") as handle:
        assert [row["path"] for row in csv.DictReader(handle)] == ODD_NAMES
    assert (tmp_path / "t.csv").read_bytes().startswith("path,n\nünï.jpg,0\n".encode())


def test_a_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ["a"], [["old"]])

    def rows() -> list[list[str]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "t.csv", ["a"], (row for row in rows()))
    assert read_table(tmp_path / "t.csv") == [{"a": "old"}]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_rows_of_another_width_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,"2\n3"\n4\n\n5,6,7\n')
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "t.csv")
    assert caught.value.message.split("\n") == [
        f"Cannot read the table: {tmp_path / 't.csv'}, line 4. Expected 2 cells as in the header, got 1.",
        f"Cannot read the table: {tmp_path / 't.csv'}, line 6. Expected 2 cells as in the header, got 3.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\ncat/1.jpg,cat\ncat/2.jpg,dog\n",
        "\ufeffpath,label\r\ncat/1.jpg,cat\r\ncat/2.jpg,dog\r\n",
        "path;label\ncat/1.jpg;cat\ncat/2.jpg;dog",
        "path\tlabel\ncat/1.jpg\tcat\ncat/2.jpg\tdog\n",
        "Image, Class\n\ncat/1.jpg, cat\ncat/2.jpg, dog\n,\n",
        "label,file_name,note;s\ncat,./cat/1.jpg,\ndog,cat//2.jpg,\n",
        'class,filename\rcat,"cat/1.jpg"\rdog,"cat/2.jpg"\r',
        "path,label\ncat\\1.jpg,cat\ncat\\2.jpg,dog\n",
        "path,label\ncat/1.jpg,cat\ncat/2.jpg,dog\n".encode("utf-16"),
    ],
    ids=["plain", "bom-crlf", "semicolon", "tab", "spaces", "aliases", "old-mac", "windows", "utf-16"],
)
def test_the_same_table_in_many_forms(tmp_path: Path, text: str | bytes) -> None:
    dataset = read(tmp_path, text)
    assert pairs(dataset) == [("cat/1.jpg", "cat"), ("cat/2.jpg", "dog")]
    assert dataset.samples[0].path == tmp_path / "cat/1.jpg"
    assert (dataset.classes, dataset.notes, dataset.given_split) == (("cat", "dog"), [], False)


def test_every_column(tmp_path: Path) -> None:
    text = "path,label,split,group,weight,p:cat,p:dog\ncat/2.jpg,cat,Validation,g1,0.5,0.33,0.66\ncat/1.jpg,dog,train,,,,\n"
    first, second = read(tmp_path, text).samples
    assert (first.label, first.split, first.group, first.weight, first.target) == ("dog", "train", None, 1.0, None)
    assert (second.label, second.split, second.group, second.weight) == ("cat", "val", "g1", 0.5)
    assert second.target == pytest.approx((1 / 3, 2 / 3))  # two decimals are scaled to sum to 1
    assert sum(second.target or ()) == 1.0


def test_soft_targets_alone_give_label_and_classes(tmp_path: Path) -> None:
    dataset = read(tmp_path, "path,p:10,p:2,p:never\ncat/1.jpg,0.4,0.6,0\ncat/2.jpg,0.5,0.5,0\n")
    assert pairs(dataset) == [("cat/1.jpg", "2"), ("cat/2.jpg", "2")]
    assert dataset.classes == ("2", "10", "never")
    assert dataset.samples[0].target == (0.6, 0.4, 0.0)


def test_classes_join_labels_and_targets(tmp_path: Path) -> None:
    dataset = read(tmp_path, "path,label,p:a\ncat/1.jpg,b,1\ncat/2.jpg,c,\n")
    assert dataset.classes == ("a", "b", "c")
    assert dataset.samples[0].target == (1.0, 0.0, 0.0)


def test_classes_named_like_columns(tmp_path: Path) -> None:
    text = "path,label,p:label,p:path,p:p:x,P:LABEL\ncat/1.jpg,p:x,0.2,0.2,0.6,z\ncat/2.jpg,label,1,0,0,z\n"
    dataset = read(tmp_path, text)
    assert dataset.classes == ("label", "p:x", "path")
    assert pairs(dataset) == [("cat/1.jpg", "p:x"), ("cat/2.jpg", "label")]
    assert dataset.samples[0].target == pytest.approx((0.2, 0.6, 0.2))


def test_a_dataset_survives_its_own_table(tmp_path: Path) -> None:
    names = [f"cat/{name}" for name in ODD_NAMES]
    touch(tmp_path, *names)
    write_table(tmp_path / "list.csv", ["path", "label"], [(name, name[4:-4]) for name in names])
    dataset = read_labels(load_table(tmp_path / "list.csv"), source="", root=tmp_path)
    assert {s.name: s.label for s in dataset.samples} == {name: name[4:-4] for name in names}
    assert dataset.skips == []


def test_bytes_that_are_not_utf8_are_noted(tmp_path: Path) -> None:
    dataset = read(tmp_path, b"path,label\ncat/caf\xe9.jpg,x\n", files=["cat/caf\udce9.jpg"])
    assert pairs(dataset) == [("cat/caf\udce9.jpg", "x")]
    assert dataset.notes == ["list.csv is not valid UTF-8: save it as UTF-8 if names look wrong or files are missing."]


def test_missing_files_are_listed(tmp_path: Path) -> None:
    rows = "".join(f"gone/{i}.jpg,cat\n" for i in range(7))
    dataset = read(tmp_path, "path,label\ncat/1.jpg,cat\n" + rows + "cat,dog\n")
    assert pairs(dataset) == [("cat/1.jpg", "cat")]
    assert dataset.classes == ("cat", "dog")
    assert [(skip.name, skip.reason) for skip in dataset.skips] == [
        *((f"gone/{i}.jpg", "file is missing") for i in range(7)),
        ("cat", "not a regular file"),
    ]
    assert dataset.notes == [
        "7 files are missing: gone/0.jpg, gone/1.jpg, gone/2.jpg, gone/3.jpg, gone/4.jpg, … 7 in all.",
        "Left out 1 links or special files (cat).",
    ]


def test_all_files_missing_points_to_root(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "path,label\nx.jpg,cat\n")
    assert caught.value.message == (
        f"Cannot find the images of the table: {tmp_path / 'list.csv'}. Expected files below {tmp_path}, got none of its 1 paths."
    )
    assert "--root" in caught.value.hint


def test_root_moves_the_paths(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a/1.jpg", "elsewhere/a/2.jpg", "elsewhere2/3.jpg")
    root = tmp_path / "elsewhere"
    dataset = read(tmp_path, f"path,label\na/1.jpg,x\n{root}/a/2.jpg,y\n", root=root)
    assert pairs(dataset) == [("a/1.jpg", "x"), ("a/2.jpg", "y")]
    assert dataset.root == root
    (tmp_path / "link").symlink_to(root)
    linked = read(tmp_path, f"path,label\n{root}/a/2.jpg,y\n{tmp_path}/link/a/1.jpg,x\n", root=tmp_path / "link")
    assert pairs(linked) == [("a/1.jpg", "x"), ("a/2.jpg", "y")]


@pytest.mark.parametrize("path", ["../out.jpg", "cat/../../out.jpg", "/etc/passwd", "..\\out.jpg", "cat/..", "", "a\0b"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "in").mkdir()
    touch(tmp_path, "out.jpg")
    message = refusal(tmp_path / "in", f"path,label\ncat/1.jpg,cat\n{path},cat\n")
    assert message == f"Cannot read the table: CSV, line 3. Expected a path that stays below the folder, got {path!r}."


def test_a_link_that_leaves_the_root_is_skipped(tmp_path: Path) -> None:
    root = tmp_path / "in"
    touch(tmp_path, "out/1.jpg", "in/cat/1.jpg")
    (root / "dog").symlink_to(tmp_path / "out")
    (root / "2.jpg").symlink_to("../out/1.jpg")
    (root / "3.jpg").symlink_to("cat/1.jpg")
    text = "path,label\ncat/1.jpg,cat\ndog/1.jpg,dog\n2.jpg,dog\n3.jpg,cat\n"
    dataset = read(root, text)
    assert pairs(dataset) == [("3.jpg", "cat"), ("cat/1.jpg", "cat")]
    assert {skip.name: (skip.reason, skip.bytes) for skip in dataset.skips} == dict.fromkeys(
        ["dog/1.jpg", "2.jpg"], ("link that leaves the folder", 1)
    )
    followed = read_labels(load_table(root / "list.csv"), source="", root=root, follow_links=True)
    assert len(followed) == 4


def test_repeated_rows_are_merged_when_they_agree(tmp_path: Path) -> None:
    dataset = read(tmp_path, "path,label\ncat/1.jpg,cat\n./cat/1.jpg,cat\ncat/2.jpg,dog\ncat/1.jpg,cat\n")
    assert len(dataset) == 2
    assert dataset.notes == ["Merged 2 rows that repeat another."]


def test_repeated_rows_that_disagree(tmp_path: Path) -> None:
    message = refusal(tmp_path, "path,label,weight\ncat/1.jpg,cat,1\ncat/2.jpg,cat,1\ncat/1.jpg,dog,1\ncat/2.jpg,cat,2\n")
    assert message.split("\n") == [
        "Cannot read the table: CSV, lines 2 and 4. Expected the same said twice of cat/1.jpg, got 'cat' and 'dog'.",
        "Cannot read the table: CSV, lines 3 and 5. Expected the same said twice of cat/2.jpg, got "
        "another split, group, weight or soft target.",
    ]


def test_all_problems_are_raised_once_with_their_lines(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        'path,label,split,weight,p:a,p:b\ncat/1.jpg,,train,-1,,\n"new\nline.jpg",a,trian,nan,0.5,0.4\ncat/2.jpg,a,,two,1,-0\ncat/2.jpg,a,,inf,2,-1\n',
    )
    assert message.split("\n") == [
        "Cannot read the table: CSV, line 2. Expected a weight of at least 0, got '-1'.",
        "Cannot read the table: CSV, line 2. Expected a label, got an empty cell.",
        "Cannot read the table: CSV, line 3. Expected a split named train, val or test, got 'trian'.",
        "Cannot read the table: CSV, line 3. Expected a weight of at least 0, got 'nan'.",
        "Cannot read the table: CSV, line 3. Expected soft targets of at least 0 that sum to 1, got p:a = 0.5, p:b = 0.4.",
        "Cannot read the table: CSV, line 5. Expected a weight of at least 0, got 'two'.",
        "Cannot read the table: CSV, line 6. Expected a weight of at least 0, got 'inf'.",
        "Cannot read the table: CSV, line 6. Expected soft targets of at least 0 that sum to 1, got p:a = 2, p:b = -1.",
    ]


def test_many_problems_are_counted(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "path,label\n" + "cat/1.jpg,\n" * 1000).split("\n")
    assert len(lines) == 21
    assert lines[-1] == "Cannot read the table: CSV. Expected no further problem, got 980 more lines like these."


def test_a_split_for_some_images_only(tmp_path: Path) -> None:
    message = refusal(tmp_path, "path,label,split\ncat/1.jpg,cat,train\ncat/2.jpg,cat,\n")
    assert message == "Cannot read the table: CSV, line 3. Expected a split, as other lines have, got none."
    assert not read(tmp_path, "path,label,split\ncat/1.jpg,cat,\n").given_split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Cannot read the table: CSV. Expected a header line, got an empty file."),
        ("path\ncat/1.jpg\n", "Cannot read the table: CSV. Expected a column label or class, or columns p:<class>, got the columns path."),
        ("1.jpg,cat\n", "Cannot read the table: CSV. Expected a column path, image, file_name or filename, got the columns 1.jpg, cat."),
        ("path,label,Label\n", "Cannot read the table: CSV. Expected one column of each name, got several called label."),
        ("path,label\n", "Cannot find the images of the table: CSV. Expected files below ROOT, got a table without rows."),
        ("path,label\n" + "x" * 200_000, "Cannot read the table: CSV. Expected a CSV file, got field larger than field limit (131072)."),
    ],
    ids=["empty", "no-label", "no-header", "twice", "no-rows", "huge-cell"],
)  # fmt: skip
def test_tables_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).replace(str(tmp_path), "ROOT").split("\n")[0] == message


def test_groups_by_column(tmp_path: Path) -> None:
    text = "path,label,group,patient\ncat/1.jpg,a,g,p\n"
    read(tmp_path, text)
    table = load_table(tmp_path / "list.csv")
    groups = [read_labels(table, source="", root=tmp_path, group_by=by).samples[0].group for by in (None, "patient", "none", "/(x)")]
    assert groups == ["g", "p", None, None]
