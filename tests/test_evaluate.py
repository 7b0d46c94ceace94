from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import PhotoFolder, read_csv
from seefit.bundle.bundle import Bundle, load
from seefit.data.dataset import Dataset, Sample, Skip
from seefit.data.split import Split
from seefit.data.splitfile import write_split
from seefit.errors import DataError, RunError
from seefit.evaluation.evaluate import evaluate_data, evaluate_part, group_numbers
from seefit.evaluation.metrics import judge
from seefit.files import sha256_file
from seefit.models.backbone import Backbone
from tiny import make_bundle

MakeRun = Callable[..., tuple[Path, list[Sample]]]


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load(tiny_bundle)


@pytest.fixture
def make_run(tmp_path: Path, photo_folder: PhotoFolder) -> MakeRun:
    """Return a function that writes ``split.csv`` of a run over photographs: every third image to train, val and test in turn."""

    def make(per_class: int = 6, *, weight: float = 1.0, groups: int = 0) -> tuple[Path, list[Sample]]:
        root = photo_folder(per_class)
        names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.png"))
        samples = [
            Sample(root / name, name, name.split("/")[0], group=f"g{i % groups}" if groups else None, weight=weight if i % 2 else 1.0)
            for i, name in enumerate(names)
        ]
        run = tmp_path / "run"
        run.mkdir()
        parts = [("train", "val", "test")[i % 3] for i in range(len(samples))]
        write_split(run / "split.csv", samples, Split(parts, list(range(len(parts))), 0), [sha256_file(sample.path) for sample in samples])
        return run, [sample for sample, part in zip(samples, parts, strict=True) if part == "test"]

    return make


def test_the_test_part_is_judged_and_every_prediction_written(bundle: Bundle, make_run: MakeRun) -> None:
    run, test = make_run()
    found, _ = evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0)
    rows = read_csv(run / "predictions.csv")
    assert list(rows[0]) == ["path", "label", "predicted", "p:defective", "p:functional"]
    assert [(row["path"], row["label"]) for row in rows] == [(sample.name, sample.label) for sample in test]
    answers = bundle.predict([sample.path for sample in test])
    assert [row["predicted"] for row in rows] == [answer[0]["label"] for answer in answers]
    for row, answer in zip(rows, answers, strict=True):
        assert {entry["label"]: pytest.approx(float(row[f"p:{entry['label']}"]), abs=1e-6) for entry in answer} == {
            entry["label"]: entry["score"] for entry in answer
        }
    assert found.n == len(test)
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert found.figures["accuracy"].value == pytest.approx(right)
    assert found.figures["majority_baseline"].value == pytest.approx(np.mean([row["label"] == "defective" for row in rows]))
    assert "weighted_accuracy" not in found.figures


def test_figures_without_leaking_images_are_given_beside(bundle: Bundle, make_run: MakeRun) -> None:
    run, test = make_run()
    everything, without = evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0, leaking={test[0].name, "elsewhere"})
    assert without is not None
    assert (everything.n, without.n) == (len(test), len(test) - 1)
    assert evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0, leaking={"elsewhere"})[1] is None


def test_another_part_can_stand_in(bundle: Bundle, make_run: MakeRun) -> None:
    run, test = make_run()
    evaluate_part(run, bundle, test[0].path.parents[1], "val", majority=None)
    parts = {row["path"]: row["split"] for row in read_csv(run / "split.csv")}
    assert {parts[row["path"]] for row in read_csv(run / "predictions.csv")} == {"val"}


def test_weights_and_groups_of_the_split_count(bundle: Bundle, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run, test = make_run(12, weight=0.25, groups=2)
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        "seefit.evaluation.evaluate.judge", lambda *arguments, **options: given.update(options) or judge(*arguments, **options)
    )
    evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0, seed=4)
    assert given["weights"].tolist() == [sample.weight for sample in test]
    assert set(given["weights"].tolist()) == {0.25, 1.0}
    pairs = set(zip(given["groups"].tolist(), (sample.group for sample in test), strict=True))
    assert sorted(group for _, group in pairs if group) == ["g0", "g1"]  # one number per group
    assert given["seed"] == 4


@pytest.mark.parametrize("content", [None, b"<html>", "another"])
def test_a_test_image_that_is_gone_or_changed_stops_it(bundle: Bundle, make_run: MakeRun, content: bytes | str | None) -> None:
    run, test = make_run()
    if content is None:
        test[1].path.unlink()
    else:
        test[1].path.write_bytes(content if isinstance(content, bytes) else test[0].path.read_bytes())
    with pytest.raises(RunError) as caught:
        evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0)
    expected = "Expected the image that was trained or split with, got no such file."
    gone = f"An image of the run cannot be read any more: {test[1].path}. {expected}"
    changed = f"An image changed while seefit was working: {test[1].name}. Expected the content with sha256 "
    assert caught.value.message.startswith(gone if content is None else changed)
    assert not (run / "predictions.csv").exists()


def test_an_image_that_was_judged_once_can_be_judged_again_without_its_file(bundle: Bundle, make_run: MakeRun) -> None:
    """By its kept features: another file in its place is not looked at."""
    run, test = make_run()
    root, contents = test[0].path.parents[1], [sha256_file(sample.path) for sample in test]
    first, _ = evaluate_part(run, bundle, root, "test", majority=0)
    before = read_csv(run / "predictions.csv")
    test[0].path.unlink()
    test[1].path.write_bytes(test[2].path.read_bytes())
    again, _ = evaluate_part(run, bundle, root, "test", majority=0, gone=contents[:2])
    after = read_csv(run / "predictions.csv")
    for one, two in zip(before, after, strict=True):
        assert (one["path"], one["predicted"]) == (two["path"], two["predicted"])
        assert float(one["p:defective"]) == pytest.approx(float(two["p:defective"]), abs=2e-6)
    assert first.figures["accuracy"] == again.figures["accuracy"]


def test_an_image_that_is_gone_and_was_never_judged_stops_it(bundle: Bundle, make_run: MakeRun) -> None:
    run, test = make_run()
    contents = [sha256_file(sample.path) for sample in test[:2]]
    with pytest.raises(RunError) as caught:
        evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0, gone=contents)
    assert caught.value.message == (
        f"Images of the run are gone: {test[0].name}, {test[1].name}. Expected their files, or kept features of them, got neither."
    )


def test_beyond_100_classes_the_best_five_are_written_and_all_in_a_file_beside(
    tmp_path: Path, tiny_backbone: Backbone, make_run: MakeRun
) -> None:
    classes = ["defective", *(f"c{i}" for i in range(100)), "functional"]
    bundle = load(make_bundle(tmp_path / "bundle", tiny_backbone, classes))
    run, test = make_run()
    found, _ = evaluate_part(run, bundle, test[0].path.parents[1], "test", majority=0)
    rows = read_csv(run / "predictions.csv")
    top = [name for i in range(1, 6) for name in (f"top{i}", f"p{i}")]
    assert list(rows[0]) == ["path", "label", "predicted", *top]
    kept = np.load(run / "predictions.npz", allow_pickle=False)
    assert kept["classes"].tolist() == classes
    assert kept["probabilities"].shape == (len(test), 102)
    assert kept["probabilities"].sum(1) == pytest.approx(1, abs=1e-5)
    best = np.argsort(-kept["probabilities"], axis=1, kind="stable")[:, :5]
    assert [[row[f"top{i}"] for i in range(1, 6)] for row in rows] == [[classes[i] for i in order] for order in best]
    assert found.confusion is None


def photos(root: Path, *, skips: list[Skip] | None = None) -> Dataset:
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.*"))
    samples = [Sample(root / name, name, name.split("/")[0]) for name in names]
    return Dataset(str(root), root, samples, tuple(sorted({name.split("/")[0] for name in names})), skips=skips or [])


def test_other_images_are_judged_and_bad_ones_left_out(bundle: Bundle, photo_folder: PhotoFolder) -> None:
    root = photo_folder(3)
    (root / "functional" / "zz.png").write_bytes(b"")
    dataset = photos(root, skips=[Skip("gone.png", "missing", 0)])
    found, skips = evaluate_data(bundle, dataset)
    assert found.n == 6
    assert skips == [Skip("gone.png", "missing", 0), Skip("functional/zz.png", "0 bytes", 0)]
    answers = [answer[0]["label"] for answer in bundle.predict([sample.path for sample in dataset.samples if sample.path.name != "zz.png"])]
    labels = [sample.label for sample in dataset.samples if sample.path.name != "zz.png"]
    assert found.figures["accuracy"].value == pytest.approx(np.mean(np.array(answers) == np.array(labels)))


def test_images_of_one_known_class_are_enough(bundle: Bundle, photo_folder: PhotoFolder) -> None:
    root = photo_folder(3)
    for path in (root / "defective").iterdir():
        path.unlink()
    found, _ = evaluate_data(bundle, photos(root))
    assert found.n == 3


def test_unknown_classes_are_refused_before_any_image_is_read(bundle: Bundle, photo_folder: PhotoFolder) -> None:
    root = photo_folder(1)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        (root / name / "1.png").write_bytes(b"never read")
    with pytest.raises(DataError) as caught:
        evaluate_data(bundle, photos(root))
    assert caught.value.message == (f"Unknown classes: {root}. Expected the model's classes (defective, functional), got 'cat', 'dog'.")
    assert caught.value.hint == "Rename the classes, or train a model with them."


def test_nothing_but_bad_images_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "defective").mkdir()
    (tmp_path / "defective" / "1.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"^Nothing to evaluate: .*\. Expected images that can be decoded, got none\."):
        evaluate_data(bundle, photos(tmp_path))


def test_images_without_a_group_stand_alone() -> None:
    assert group_numbers([None, None]) is None
    numbers = group_numbers(["a", None, "b", None, "a"])
    assert numbers is not None
    assert numbers.tolist() == [0, 1, 2, 3, 0]
    clash = group_numbers(["1", None, "1"])  # a group named like the position of an image without one
    assert clash is not None
    assert clash.tolist() == [0, 1, 0]
