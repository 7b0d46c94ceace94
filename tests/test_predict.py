"""Prediction: streams, keeps the order, says what it cannot read, and answers as the merged graph does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import PhotoFolder, read_csv
from seefit.bundle.bundle import Bundle, load
from seefit.bundle.predict import ALL_CLASSES, Prediction, predict, write_predictions
from seefit.bundle.runtime import AHEAD, BATCH, open_session
from seefit.data.dataset import Sample
from seefit.data.image import Undecodable, Unreadable, decode
from seefit.environment import threads
from seefit.errors import ResourceError
from seefit.models.backbone import Backbone
from tiny import make_bundle


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load(tiny_bundle)


@pytest.fixture
def photos(photo_folder: PhotoFolder) -> list[Path]:
    """Return more photographs than one batch holds."""
    paths = sorted(photo_folder(10).rglob("*.png"))
    assert len(paths) == 20 > BATCH
    return paths


def sample(path: Path, name: str | None = None) -> Sample:
    return Sample(path, name or path.name, None)


def of(classes: tuple[str, ...], *probabilities: float) -> Prediction:
    return Prediction(sample(Path("x.png")), classes, np.array(probabilities, np.float32))


def test_scores_are_calibrated_and_those_of_the_merged_graph_on_single_images(bundle: Bundle, photos: list[Path]) -> None:
    session = open_session((bundle.folder / "model.onnx").read_bytes(), intra_threads=1)
    found = list(predict(bundle, map(sample, photos)))
    assert [prediction.sample.path for prediction in found] == photos
    for prediction in found:
        image = decode(prediction.sample.path)[np.newaxis]
        alone, logits = session.run(["probabilities", "logits"], {"image": image})
        np.testing.assert_allclose(prediction.probabilities, alone[0], rtol=0, atol=1e-6)
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert np.log(alone[0, 0] / alone[0, 1]) == pytest.approx((logits[0, 0] - logits[0, 1]) / 1.5, abs=1e-4)  # the temperature


def test_a_million_images_are_not_taken_far_ahead(bundle: Bundle, photos: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Sample]:
        nonlocal taken
        for taken in range(1, 1_000_001):
            yield sample(photos[0], str(taken))

    predictions = predict(bundle, endless())
    assert taken == 0
    for done in range(1, 40):
        assert next(predictions).sample.name == str(done)
        assert taken <= done + BATCH * (1 + threads() * (AHEAD + 1))
    predictions.close()  # type: ignore[attr-defined]


def test_images_that_cannot_be_decoded_keep_their_place(bundle: Bundle, photos: list[Path], tmp_path: Path) -> None:
    half, text, gone = tmp_path / "half.png", tmp_path / "text.jpg", tmp_path / "gone.png"
    half.write_bytes(photos[0].read_bytes()[:2000])
    text.write_text("no picture")
    mixed = [half, *photos[:5], text, *photos[5:18], gone]
    found = list(predict(bundle, map(sample, mixed)))
    assert [prediction.sample.path for prediction in found] == mixed
    reasons = {prediction.sample.name: prediction.error.reason for prediction in found if prediction.error}
    assert reasons == {"half.png": "truncated PNG", "text.jpg": "text, not an image", "gone.png": "no such file"}
    good = [prediction for prediction in found if not prediction.error]
    for prediction, alone in zip(good, predict(bundle, map(sample, photos[:18])), strict=True):
        np.testing.assert_allclose(prediction.probabilities, alone.probabilities, rtol=0, atol=1e-6)
    assert all(not prediction.probabilities.any() for prediction in found if prediction.error)


def test_nothing_but_bad_images(bundle: Bundle, tmp_path: Path) -> None:
    found = list(predict(bundle, [sample(tmp_path / f"{i}.png") for i in range(BATCH + 1)]))
    assert [str(type(prediction.error).__name__) for prediction in found] == ["Undecodable"] * (BATCH + 1)


def test_no_images(bundle: Bundle) -> None:
    assert list(predict(bundle, [])) == []


def test_what_the_system_does_not_let_us_read(bundle: Bundle, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise Unreadable(path, PermissionError(13, "Permission denied"))

    monkeypatch.setattr("seefit.bundle.predict.decode", refuse)
    (prediction,) = predict(bundle, [sample(photos[0])])
    assert isinstance(prediction.error, Unreadable)
    assert prediction.error.reason == "Permission denied"


def test_the_limit_of_pixels_is_the_callers(bundle: Bundle, photos: list[Path]) -> None:
    (small,) = predict(bundle, [sample(photos[0])], max_pixels=300 * 300)
    (large,) = predict(bundle, [sample(photos[0])], max_pixels=300 * 300 - 1)
    assert small.error is None
    assert isinstance(large.error, Undecodable)
    assert "--max-pixels" in large.error.reason


def test_a_fault_of_ours_is_not_hidden(bundle: Bundle, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("seefit.bundle.predict.decode", fail)
    with pytest.raises(ZeroDivisionError):
        list(predict(bundle, map(sample, photos)))


def test_the_label_is_the_most_probable_class_and_ranks_go_down() -> None:
    prediction = of(("a", "b", "c"), 0.25, 0.5, 0.25)
    assert prediction.label == "b"
    assert prediction.ranked() == [{"label": "b", "score": 0.5}, {"label": "a", "score": 0.25}, {"label": "c", "score": 0.25}]


@pytest.mark.parametrize(("count", "shown"), [(ALL_CLASSES, ALL_CLASSES), (ALL_CLASSES + 1, 5)])
def test_beyond_100_classes_the_best_five_are_given(count: int, shown: int, tmp_path: Path) -> None:
    classes = tuple(f"class {i}" for i in range(count))
    weights = np.arange(1, count + 1, dtype=np.float32)
    prediction = of(classes, *(weights / weights.sum()))
    assert [item["label"] for item in prediction.ranked()] == [f"class {count - 1 - i}" for i in range(shown)]
    write_predictions(tmp_path / "p.csv", classes, [prediction])
    (row,) = read_csv(tmp_path / "p.csv")
    if shown == 5:
        assert list(row) == ["path", "predicted", "top1", "p1", "top2", "p2", "top3", "p3", "top4", "p4", "top5", "p5"]
        assert [row[f"top{i}"] for i in range(1, 6)] == [item["label"] for item in prediction.ranked()]
        assert [float(row[f"p{i}"]) for i in range(1, 6)] == pytest.approx([item["score"] for item in prediction.ranked()], abs=1e-6)
    else:
        assert list(row) == ["path", "predicted", *(f"p:{name}" for name in classes)]
        assert float(row["p:class 99"]) == pytest.approx(100 / 5050, abs=1e-6)


def test_more_than_100_classes_from_the_graph_to_the_table(tmp_path: Path, tiny_backbone: Backbone, photos: list[Path]) -> None:
    classes = tuple(f"kind {i}" for i in range(120))
    bundle = load(make_bundle(tmp_path / "bundle", tiny_backbone, classes))
    (prediction,) = predict(bundle, [sample(photos[0])])
    assert prediction.probabilities.shape == (120,)
    assert [len(answer) for answer in bundle.predict(photos[0])] == [5]


def test_a_table_holds_every_answer_in_order_and_only_answers(bundle: Bundle, photos: list[Path], tmp_path: Path) -> None:
    odd = [sample(photos[0], 'comma, "quote"\nline\ttab é 🐈.png'), sample(tmp_path / "gone.png"), sample(photos[1], "b.png")]
    found = list(predict(bundle, odd))
    assert write_predictions(tmp_path / "p.csv", bundle.classes, found) == 2
    rows = read_csv(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == [odd[0].name, "b.png"]
    for row, prediction in zip(rows, (found[0], found[2]), strict=True):
        assert row["predicted"] == prediction.label
        assert [float(row[f"p:{name}"]) for name in bundle.classes] == pytest.approx(prediction.probabilities.tolist(), abs=1e-6)


@pytest.mark.parametrize("classes", [("label", "path"), ("p:x", "predicted"), ("<script>alert(1)</script>", "\x1b[31mred\x1b[0m")])
def test_odd_class_names_round_trip(classes: tuple[str, str], tmp_path: Path, tiny_backbone: Backbone, photos: list[Path]) -> None:
    bundle = load(make_bundle(tmp_path / "bundle", tiny_backbone, classes))
    write_predictions(tmp_path / "p.csv", bundle.classes, predict(bundle, [sample(photos[0])]))
    (row,) = read_csv(tmp_path / "p.csv")
    assert list(row) == ["path", "predicted", *(f"p:{name}" for name in classes)]
    assert row["predicted"] in classes


def test_a_table_that_cannot_be_finished_leaves_the_old_one(bundle: Bundle, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("old")

    def broken() -> Iterator[Prediction]:
        yield from predict(bundle, [sample(photos[0])])
        raise OSError(28, os.strerror(28))

    with pytest.raises(ResourceError):
        write_predictions(tmp_path / "p.csv", bundle.classes, broken())
    assert (tmp_path / "p.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["p.csv"]


def test_files_and_folders_of_a_bundle_predict(bundle: Bundle, photos: list[Path], tmp_path: Path) -> None:
    by_folder = bundle.predict(tmp_path / "photos" / "defective")
    one_by_one = [bundle.predict(str(path))[0] for path in photos if path.parent.name == "defective"]
    assert [[item["label"] for item in answer] for answer in by_folder] == [[item["label"] for item in answer] for answer in one_by_one]
    assert len(by_folder) == 10
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(Undecodable, match="0 bytes"):
        bundle.predict([photos[0], tmp_path / "bad.png"])


def test_features_come_with_the_answers_where_they_are_asked_for(bundle: Bundle, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"<html>")
    samples = [sample(path) for path in (*photos[:3], bad)]
    plain, rich = list(predict(bundle, samples)), list(predict(bundle, samples, features=True))
    assert [prediction.features for prediction in plain] == [None] * 4
    assert rich[3].features is None
    for one, two in zip(plain[:3], rich[:3], strict=True):
        assert one.probabilities.tolist() == two.probabilities.tolist()
        pixels = bundle.reference.pixels(decode(two.sample.path))
        assert two.features is not None
        assert two.features == pytest.approx(bundle.reference.run(pixels[np.newaxis], ["features"])[0][0], abs=1e-5)


def test_the_caller_can_read_the_images(bundle: Bundle, photos: list[Path]) -> None:
    """What is read is what is judged, whatever the file holds."""
    pixels = decode(photos[0])
    answer = next(predict(bundle, [sample(Path("nowhere.png"))], read=lambda _: pixels))
    assert answer.probabilities.tolist() == next(predict(bundle, [sample(photos[0])])).probabilities.tolist()
