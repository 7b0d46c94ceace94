"""`Evaluation`: the figures, mistakes and pictures of a run, or of images given by hand, with fastai's names."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

import seefit
from conftest import Train, read_csv
from seefit.data.dataset import Sample
from seefit.errors import DataError, RunError, UsageError
from seefit.estimator import ImageClassifier
from seefit.report.evaluation import Evaluation
from test_estimator import make_pictures
from tiny import plant_tiny


def judged(probabilities: list[list[float]], labels: list[int], classes: list[str] | None = None) -> Evaluation:
    samples = [Sample(Path(f"{i}.png"), f"{i}.png", None) for i in range(len(labels))]
    return Evaluation.judge(samples, np.array(probabilities), labels, classes or ["cat", "dog"])


def texts(figure: Any) -> list[str]:
    return [item.get_text() for item in figure.findobj(Text) if item.get_visible() and item.get_text()]


@pytest.fixture
def small() -> Evaluation:
    """Four images: a sure mistake, an unsure one, an unsure and a sure right answer."""
    return judged([[0.9, 0.1], [0.4, 0.6], [0.55, 0.45], [0.02, 0.98]], [1, 0, 0, 1])


def test_a_run_is_read_as_it_was_judged(trained: Path) -> None:
    evaluation, rows = seefit.Evaluation.read(trained), read_csv(trained / "predictions.csv")
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (len(evaluation), evaluation.part) == (len(rows), "test")
    assert [evaluation.classes[i] for i in evaluation.labels] == [row["label"] for row in rows]
    assert [evaluation.classes[i] for i in evaluation.predicted] == [row["predicted"] for row in rows]
    assert evaluation.accuracy is not None
    assert evaluation.accuracy.value == metrics["test"]["accuracy"]["value"]
    assert evaluation.metrics["per_class"] == metrics["per_class"]
    assert all(path.is_file() for path in evaluation.paths)
    assert Counter({(a, p): n for a, p, n in evaluation.most_confused()}) == Counter(
        (row["label"], row["predicted"]) for row in rows if row["label"] != row["predicted"]
    )


def test_a_run_that_nobody_judged_is_refused(train_here: Train) -> None:
    run = train_here(val=0, test=0).path
    with pytest.raises(RunError, match=r"Nothing was judged: .*run\. Expected a test or a validation part, got neither\."):
        Evaluation.read(run)


def test_figures_are_attributes_with_their_intervals(small: Evaluation) -> None:
    assert small.accuracy is not None
    assert (small.accuracy.value, round(small.accuracy.low or 0, 3)) == (0.5, 0.15)
    assert small.auc is not None
    assert small.weighted_accuracy is None, "all weights are equal"
    with pytest.raises(AttributeError, match="'Evaluation' object has no attribute 'precisoin'"):
        _ = small.precisoin
    assert copy.deepcopy(small).accuracy == pickle.loads(pickle.dumps(small)).accuracy == small.accuracy


def test_top_losses_are_the_worst_first_with_what_was_said(small: Evaluation) -> None:
    worst, next_worst = small.top_losses(2)
    assert (worst.path, worst.actual, worst.predicted, worst.probability) == (Path("0.png"), "dog", "cat", 0.9)
    assert worst.loss == pytest.approx(-math.log(0.1))
    assert next_worst.path == Path("1.png")
    assert len(small.top_losses(99)) == 4
    assert judged([[1.0, 0.0]], [1]).top_losses(1)[0].loss == pytest.approx(-math.log(1e-6)), "never endless"


def test_pairs_that_are_mixed_up_often_enough() -> None:
    table = np.eye(3)[[1, 1, 2, 0, 1]].tolist()
    evaluation = judged(table, [0, 0, 0, 1, 1], ["a", "b", "c"])
    assert evaluation.most_confused() == [("a", "b", 2), ("a", "c", 1), ("b", "a", 1)]
    assert evaluation.most_confused(min_val=2) == [("a", "b", 2)]
    assert evaluation.confusion_matrix().tolist() == [[0, 2, 1], [1, 1, 0], [0, 0, 0]]


def test_the_matrix_is_drawn_with_its_numbers(small: Evaluation) -> None:
    assert {"cat", "dog", "1", "50\u00a0%"} <= set(texts(small.plot_confusion_matrix()))


@pytest.mark.parametrize("wrong", [True, False])
def test_of_many_classes_the_worst_are_drawn(wrong: bool) -> None:
    labels = np.arange(60)
    said = np.where((labels % 2 == 0) & wrong, (labels + 1) % 60, labels)
    figure = judged(np.eye(60)[said].tolist(), labels.tolist(), [f"class {i}" for i in range(60)]).plot_confusion_matrix()
    assert len([text for text in texts(figure) if text.startswith("class")]) == 60  # 30 rows and 30 columns


def test_top_losses_are_drawn_with_real_pictures_and_empty_tiles_for_those_gone(trained: Path, small: Evaluation) -> None:
    figure: Any = seefit.Evaluation.read(trained).plot_top_losses(4)
    assert len(figure.axes) == 4
    assert figure.axes[0].get_title().startswith("said ")
    assert figure.axes[0].get_images()[0].get_array().shape == (300, 300, 3)
    gone: Any = small.plot_top_losses(1)
    assert gone.axes[0].get_title() == "said cat\nis dog\nloss 2.30, p 0.90"
    assert gone.axes[0].get_images()[0].get_array().shape == (8, 8, 3)


def test_a_notebook_shows_the_figures_and_nothing_of_names_runs() -> None:
    evaluation = judged([[0.9, 0.1], [0.4, 0.6]], [0, 1], ["<script>", "b"])
    assert repr(evaluation) == "<Evaluation of 2 images in 2 classes, balanced accuracy 100.0%>"
    page = evaluation._repr_html_()
    assert "<td>Balanced accuracy</td><td>100.0\u00a0%</td><td>34.2 to 100.0\u00a0%</td>" in page
    assert "&lt;Evaluation of 2 images" in page


def test_a_classifier_is_judged_on_paths_and_labels(tmp_path: Path) -> None:
    plant_tiny()
    paths, labels = make_pictures(tmp_path / "pictures", 36)
    classifier = ImageClassifier().fit(paths[:24], labels[:24])
    evaluation = classifier.evaluate(paths[24:], labels[24:])
    assert evaluation.accuracy is not None
    assert evaluation.accuracy.value == classifier.score(paths[24:], labels[24:])
    assert evaluation.paths == [Path(path) for path in paths[24:]]
    unknown = "Cannot judge these images: y. Expected the model's classes (dark, light, middle), got 'purple'."
    for given, error, text in (
        ({}, UsageError, "Nothing to judge by: ImageClassifier.evaluate. Expected images and labels, got no images."),
        ({"X": paths}, UsageError, "got no labels."),
        ({"X": paths[:1], "y": ["purple"]}, DataError, unknown),
        ({"X": paths[:2], "y": labels[:1]}, DataError, "Cannot judge these images: labels. Expected one per image, 2 in all, got 1."),
    ):  # fmt: skip
        with pytest.raises(error) as failure:
            classifier.evaluate(**given)
        assert text in str(failure.value)


def test_a_classifier_that_was_judged_on_a_data_set_says_how(tmp_path: Path, no_page: None) -> None:
    plant_tiny()
    make_pictures(tmp_path / "pictures", 60)
    classifier = ImageClassifier().fit(tmp_path / "pictures", out=tmp_path / "run")
    assert classifier.evaluate().accuracy == Evaluation.read(tmp_path / "run").accuracy
