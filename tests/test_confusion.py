"""Which classes are taken for which: in numbers, in order, and on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from made_run import make_run
from seefit.evaluation.confusion import cluster_order, confused_pairs, confusion_matrix, most_mistaken
from seefit.report.confusion import confusion_section, draw_confusion
from seefit.report.record import Record, read_run
from seefit.report.words import Words

EN = Words("en")


def test_pairs_come_by_mistakes_and_only_those_with_enough() -> None:
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 2]
    predicted = [0, 1, 1, 0, 1, 1, 0, 0, 0]
    assert confused_pairs(labels, predicted) == [(2, 0, 3), (0, 1, 2), (1, 0, 1), (2, 1, 1)]
    assert confused_pairs(labels, predicted, 2) == [(2, 0, 3), (0, 1, 2)]
    assert confused_pairs([0, 1], [0, 1]) == []


def test_the_matrix_is_scikit_learns() -> None:
    from sklearn.metrics import confusion_matrix as theirs

    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(5, size=(2, 200))
    assert (confusion_matrix(labels, predicted, 5) == theirs(labels, predicted, labels=range(5))).all()


def test_classes_that_are_mixed_up_stand_together() -> None:
    """Three families of four, dealt out so that no two relatives are neighbours."""
    family = np.arange(12) % 3
    counts = np.where(family[:, None] == family, 4, 0) + 20 * np.eye(12, dtype=np.int64)
    counts[0, 1] += 1
    order = cluster_order(counts)
    assert sorted(order) == list(range(12))
    assert (np.diff(family[order]) != 0).sum() == 2


def test_without_mistakes_or_with_two_classes_the_order_stays() -> None:
    assert cluster_order(np.eye(5, dtype=np.int64)) == [0, 1, 2, 3, 4]
    assert cluster_order(np.array([[5, 2], [1, 7]])) == [0, 1]
    assert cluster_order(np.zeros((3, 3), np.int64)) == [0, 1, 2]


def test_classes_with_the_most_mistakes_on_either_side() -> None:
    labels, predicted = [0, 0, 1, 2, 3, 3], [0, 1, 1, 1, 3, 2]
    assert most_mistaken(labels, predicted, 6, 2) == [1, 2]
    assert most_mistaken(labels, predicted, 6, 9) == [0, 1, 2, 3]
    assert most_mistaken([0, 1], [0, 1], 2, 5) == []


# ---- the chapter ------------------------------------------------------------------------------------------------


def made(tmp_path: Path, classes: int, each: int = 4, wrong: float = 0.4) -> Record:
    root = tmp_path / "data"
    photos = {f"class {i}": [root / f"{i}" / f"{j}.png" for j in range(each + (i == 0))] for i in range(classes)}
    return read_run(make_run(tmp_path / "run", photos, root=root, wrong=wrong))


def texts(figure: Any) -> list[str]:
    return [item.get_text() for item in figure.findobj(Text) if item.get_visible() and item.get_text()]


def test_the_matrix_of_a_few_classes_and_the_pairs(tmp_path: Path) -> None:
    section = confusion_section(made(tmp_path, 3, 20), EN)
    assert section is not None
    (picture,) = section.pictures
    assert picture.table is not None
    counts = [[int(cell) for cell in row[1:]] for row in picture.table.rows]
    assert [sum(row) for row in counts] == [21, 20, 20]
    assert [row[0] for row in picture.table.rows] == ["class 0", "class 1", "class 2"], "few classes keep their order"
    actual, predicted, count, _ = section.tables[0][1].rows[0]
    largest = max(counts[r][c] for r in range(3) for c in range(3) if r != c)
    assert int(count) == largest
    assert f"{count} pictures of “{actual}” were named “{predicted}”" in picture.says


def test_of_many_classes_those_with_the_most_mistakes_are_drawn_side_by_side(tmp_path: Path) -> None:
    section = confusion_section(made(tmp_path, 45), EN)
    assert section is not None
    (picture,) = section.pictures
    assert picture.table is not None
    assert len(picture.table.rows) == 30
    assert "Classes that are taken for each other stand side by side." in section.lead
    assert "With 45 classes a whole matrix could not be read: the 30 classes with the most mistakes are drawn." in section.lead[1]
    assert len(section.tables[0][1].rows) == 15


@pytest.mark.parametrize("classes", [2, 45])
def test_no_mistakes_are_said(tmp_path: Path, classes: int) -> None:
    record = made(tmp_path, classes, wrong=0.0)
    right = [row for row in record.predictions if row.right]
    section = confusion_section(Record(record.run, record.config, record.metrics, record.bundle, right), EN)
    assert section is not None
    said = [*section.lead, *(picture.says for picture in section.pictures)]
    assert f"All {len(right)} pictures are right." in said
    assert section.tables == [] or not section.tables


def test_every_count_is_written_and_shades_are_shares_of_a_row() -> None:
    figure = draw_confusion(np.array([[8, 2], [0, 100]]), ["a", "b"])
    assert {"8", "2", "100", "80\u00a0%", "20\u00a0%"} <= set(texts(figure))
    assert "0" not in texts(figure)
    cells: Any = figure.axes[0].collections[0]
    shades = cells.get_facecolor()[:, 3]
    assert shades[0] == pytest.approx(0.08 + 0.47 * 0.8)
    assert shades[2] == pytest.approx(0.55)


def test_shades_are_shares_of_all_pictures_of_the_class() -> None:
    figure = draw_confusion(np.array([[8, 2], [0, 100]]), ["a", "b"], np.array([40, 100]))
    cells: Any = figure.axes[0].collections[0]
    assert cells.get_facecolor()[0, 3] == pytest.approx(0.08 + 0.47 * 0.2)


def test_thirty_long_names_fit() -> None:
    figure = draw_confusion(np.ones((30, 30), np.int64), [f"a rather long name of class {i}" for i in range(30)])
    assert figure.get_size_inches()[0] * 72 < 1000
    assert all(len(text) <= 27 for text in texts(figure) if text.startswith("a rather"))
