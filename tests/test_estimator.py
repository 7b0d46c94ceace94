"""`ImageClassifier` keeps scikit-learn's rules on image paths, and is the same classifier as `seefit train` makes."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from seefit import load
from seefit.bundle.bundle import Bundle
from seefit.environment import cache_folder
from seefit.errors import ArtefactError, UsageError
from seefit.estimator import ImageClassifier
from seefit.fitting import fit_probe
from seefit.training.engine import frozen_forward
from tiny import plant_tiny

Labels = NDArray[Any]
Fitted = tuple[ImageClassifier, list[str], Labels]
SHADES = {"dark": 70, "middle": 128, "light": 190}


@pytest.fixture(autouse=True)
def _tiny() -> None:
    """Let `lite0` be the tiny backbone."""
    plant_tiny()


def make_pictures(folder: Path, count: int, *, noise: int = 12, shades: dict[str, int] | None = None) -> tuple[list[str], Labels]:
    """Write noisy pictures of one shade per class into class folders; return paths and labels, classes in turn."""
    rng = np.random.default_rng(0)
    paths, labels = [], []
    for i in range(count):
        label, shade = list((shades or SHADES).items())[i % len(shades or SHADES)]
        path = folder / label / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = shade + rng.normal(0, noise) + rng.normal(0, 25, (16, 16, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
        paths.append(str(path))
        labels.append(label)
    return paths, np.array(labels)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[str], Labels]:
    return make_pictures(tmp_path / "pictures", 36)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fitted]:
    """Return a fitted classifier, its paths and labels; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        plant_tiny()
        paths, labels = make_pictures(tmp_path_factory.mktemp("pictures"), 36)
        yield ImageClassifier(seed=2).fit(paths, labels), paths, labels


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of images that go through a network."""
    counts: list[int] = []

    def counted(samples: Any, *arguments: Any, **options: Any) -> Any:
        counts.append(len(samples))
        return frozen_forward(samples, *arguments, **options)

    monkeypatch.setattr("seefit.training.cache.frozen_forward", counted)
    return counts


def by_bundle(bundle: Bundle, paths: list[str]) -> list[dict[str, float]]:
    """Return the answers of the one graph, by name of the class."""
    return [dict(zip(p.classes, p.probabilities.tolist(), strict=True)) for p in bundle.predictions(paths)]


# ---- scikit-learn's rules -------------------------------------------------------------------------------------


def test_constructor_arguments_are_kept_as_they_are() -> None:
    given: dict[str, Any] = {
        "backbone": "resnet18",
        "method": "probe",
        "features": "pooled",
        "image_size": 64,
        "box": "pad",
        "class_weights": "balanced",
        "seed": 3,
        "device": "cpu",
        "max_pixels": 10**6,
        "verbose": True,
    }
    classifier = ImageClassifier(**given)
    assert classifier.get_params() == given
    assert clone(classifier).get_params() == given
    assert clone(classifier).set_params(seed=4, box="crop").get_params() == {**given, "seed": 4, "box": "crop"}
    assert is_classifier(classifier)
    assert repr(ImageClassifier(seed=3)) == "ImageClassifier(seed=3)"
    assert pickle.loads(pickle.dumps(classifier)).get_params() == given
    with pytest.raises(ValueError, match="Invalid parameter 'size'"):
        classifier.set_params(size=3)


@pytest.mark.parametrize(
    "check",
    [
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_no_attributes_set_in_init",
        "check_estimator_repr",
        "check_estimator_cloneable",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_mixin_order",
        "check_do_not_raise_errors_in_init_or_set_params",
    ],
)
def test_checks_of_scikit_learn_that_need_no_rows_of_numbers(check: str) -> None:
    getattr(estimator_checks, check)("ImageClassifier", ImageClassifier())


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_set", "predict_unknown", "transform", "save"])
def test_before_fit_there_is_nothing_to_ask(method: str) -> None:
    with pytest.raises(NotFittedError, match="This ImageClassifier instance is not fitted yet"):
        getattr(ImageClassifier(), method)(["a.png"])


def test_cross_val_score_works_on_paths_and_costs_each_image_once(pictures: tuple[list[str], Labels], forwards: list[int]) -> None:
    paths, labels = pictures
    scores = cross_val_score(ImageClassifier(device="cpu"), paths, labels, cv=2)
    assert scores.shape == (2,)
    assert scores.mean() > 0.8
    assert sum(forwards) <= 2 * 36  # each image once by the engine and once by the reference
    forwards.clear()
    np.testing.assert_array_equal(cross_val_score(ImageClassifier(device="cpu"), paths, labels, cv=2), scores)
    assert forwards == []


def test_grid_search_works_on_paths(pictures: tuple[list[str], Labels]) -> None:
    paths, labels = pictures
    grid = [{"class_weights": ["balanced"]}, {"features": ["pooled"]}]
    search = GridSearchCV(ImageClassifier(), grid, cv=2, error_score="raise").fit(np.array(paths), labels)
    assert len(search.cv_results_["params"]) == 2
    assert search.score(paths, labels) > 0.9
    assert search.best_estimator_.bundle_.manifest["features"] in (["blocks.0", "blocks.1"], ["pooled"])


@pytest.mark.slow
def test_cross_validation_in_several_processes(pictures: tuple[list[str], Labels]) -> None:
    paths, labels = pictures
    alone = cross_val_score(ImageClassifier(), paths, labels, cv=2)
    np.testing.assert_array_equal(cross_val_score(ImageClassifier(), paths, labels, cv=2, n_jobs=2), alone)


def test_transform_feeds_a_pipeline(pictures: tuple[list[str], Labels]) -> None:
    paths, labels = pictures
    pipeline = make_pipeline(ImageClassifier(), LogisticRegression(max_iter=1000)).fit(paths, labels)
    assert pipeline.score(paths, labels) > 0.9
    features = pipeline[0].transform(paths)
    assert (features.shape, features.dtype) == ((36, 24), np.dtype(np.float32))
    reference = pipeline[0].bundle_.reference
    pixels = np.stack([reference.pixels(np.asarray(Image.open(path))) for path in paths])
    np.testing.assert_allclose(features, reference.run(pixels, ["features"])[0], atol=1e-5)


# ---- labels and answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rename",
    [
        {"dark": "zebra", "middle": "Äpfel <b>", "light": "cat,\n"},
        {"dark": 10, "middle": 2, "light": -1},
        {"dark": "10", "middle": "2", "light": "1"},
        {"dark": True, "light": False},
    ],
    ids=["text", "numbers", "numbers-as-text", "truth"],
)
def test_classes_are_sorted_and_answers_have_the_type_of_the_labels(tmp_path: Path, rename: dict[str, Any]) -> None:
    paths, names = make_pictures(tmp_path, 24, shades={name: SHADES[name] for name in rename})
    labels = np.array([rename[name] for name in names])
    classifier = ImageClassifier().fit(paths, labels.tolist())
    assert classifier.classes_.tolist() == sorted(set(labels.tolist()))
    assert classifier.classes_.dtype == labels.dtype
    answers, probabilities = classifier.predict(paths), classifier.predict_proba(paths)
    assert answers.dtype == labels.dtype
    assert classifier.score(paths, labels) > 0.9
    np.testing.assert_array_equal(classifier.classes_[probabilities.argmax(1)], answers)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    for row, answer in zip(probabilities, by_bundle(classifier.bundle_, paths), strict=True):
        np.testing.assert_allclose(row, [answer[str(name)] for name in classifier.classes_], atol=1e-5)


def test_a_bundle_keeps_natural_order_while_the_columns_are_sorted(tmp_path: Path) -> None:
    paths, names = make_pictures(tmp_path, 18)
    labels = [{"dark": "10", "middle": "9", "light": "2"}[name] for name in names]
    classifier = ImageClassifier().fit(paths, labels)
    assert classifier.bundle_.classes == ("2", "9", "10")
    assert classifier.classes_.tolist() == ["10", "2", "9"]


def test_sets_and_refusals_are_those_of_the_bundle_in_the_order_of_the_classes(tmp_path: Path) -> None:
    paths, labels = make_pictures(tmp_path / "pictures", 60, noise=45)
    classifier = ImageClassifier().fit(paths, np.array([f"{9 + list(SHADES).index(label)}" for label in labels]))
    assert classifier.classes_.tolist() == ["10", "11", "9"]
    assert classifier.bundle_.classes == ("9", "10", "11")
    strange = tmp_path / "strange.png"
    Image.new("RGB", (16, 16), "red").save(strange)
    asked = [*paths, str(strange)]
    answers = list(classifier.bundle_.predictions(asked))
    inside, unknown = classifier.predict_set(asked), classifier.predict_unknown(asked)
    assert inside.shape == (61, 3) and inside.dtype == unknown.dtype == np.bool_
    assert [set(classifier.classes_[row]) for row in inside] == [set(answer.members or ()) for answer in answers]
    assert inside[np.arange(61), classifier.predict_proba(asked).argmax(1)].all(), "the likeliest class is in its set"
    assert unknown.tolist() == [answer.none_of_these for answer in answers]
    assert unknown[-1] and unknown[:-1].mean() < 0.2
    assert classifier.predict_set([]).shape == (0, 3) and classifier.predict_unknown([]).shape == (0,)


def test_without_images_kept_back_there_are_no_sets_and_no_refusals(pictures: tuple[list[str], Labels]) -> None:
    paths, labels = pictures
    classifier = ImageClassifier().fit(paths[:9], labels[:9])
    for method, what in (("predict_set", "sets of classes"), ("predict_unknown", "“none of these”")):
        with pytest.raises(
            UsageError, match=f"No {what}: ImageClassifier.{method}. Expected a classifier that kept images back, got too few"
        ):
            getattr(classifier, method)(paths)


def test_no_paths_give_no_rows(fitted: Fitted) -> None:
    classifier = fitted[0]
    assert classifier.predict([]).shape == (0,)
    assert classifier.predict_proba([]).shape == (0, 3)
    assert classifier.transform([]).shape == (0, 24)


def test_blocks_of_paths_give_the_same_answers(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, paths, _ = fitted
    whole = classifier.predict_proba(paths)
    monkeypatch.setattr("seefit.estimator.BLOCK", 7)
    np.testing.assert_allclose(classifier.predict_proba(paths), whole, atol=1e-6)


def test_nothing_of_torch_is_imported(tmp_path: Path) -> None:
    make_pictures(tmp_path, 12)
    code = f"""
        import sys
        from pathlib import Path
        from seefit import ImageClassifier
        paths = sorted(Path({str(tmp_path)!r}).rglob("*.png"))
        classifier = ImageClassifier(device="cpu").fit(paths, [path.parent.name for path in paths])
        classifier.predict(paths)
        print(sorted({{"torch", "timm", "openvino_telemetry"}} & {{name for name, module in sys.modules.items() if module}}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# ---- exactly these images -------------------------------------------------------------------------------------


def parts_of(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that grows by the training part of each fit."""
    seen: list[Any] = []

    def spy(settings: Any, extractor: Any, features: Any, classes: Any, train: Any, *others: Any, **options: Any) -> Any:
        seen.append(train)
        return fit_probe(settings, extractor, features, classes, train, *others, **options)

    monkeypatch.setattr("seefit.fitting.fit_probe", spy)
    return seen


def test_every_image_is_trained_on_also_twice_or_with_two_labels(
    pictures: tuple[list[str], Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = parts_of(monkeypatch)
    paths, labels = pictures
    ImageClassifier().fit([*paths, paths[0], paths[0]], [*labels, labels[0], labels[1]])
    part = seen[0]
    assert [str(sample.path) for sample in part.samples] == [*paths, paths[0], paths[0]]
    assert [sample.label for sample in part.samples] == [*labels, labels[0], labels[1]]
    assert part.units[0] == part.units[36] == part.units[37]  # in one fold, whatever they are called


def test_weights_and_groups_arrive(pictures: tuple[list[str], Labels], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = parts_of(monkeypatch)
    paths, labels = pictures
    groups = np.arange(36) // 6
    ImageClassifier().fit(paths, labels, sample_weight=np.linspace(0, 2, 36), groups=groups)
    np.testing.assert_allclose(seen[0].weights(), np.linspace(0, 2, 36))
    assert [len(set(seen[0].units[groups == group])) for group in range(6)] == [1] * 6
    ImageClassifier().fit(paths, labels)
    assert len(set(seen[1].units)) > 6
    np.testing.assert_array_equal(seen[1].weights(), 1)


def test_figures_over_folds_come_with_it(fitted: Fitted) -> None:
    classifier = fitted[0]
    assert classifier.metrics_["headline"] == "cross_validation"
    folds = classifier.metrics_["cross_validation"]
    assert (folds["n"], folds["folds"]) == (36, 5)
    assert set(folds["accuracy"]) == {"value", "low", "high"}
    assert classifier.metrics_["temperature"] == classifier.bundle_.manifest["temperature"]
    assert not hasattr(classifier, "run_")


# ---- a data set -----------------------------------------------------------------------------------------------


def test_a_folder_is_split_judged_and_kept(tmp_path: Path) -> None:
    paths, labels = make_pictures(tmp_path / "pictures", 60)
    classifier = ImageClassifier().fit(tmp_path / "pictures", out=tmp_path / "run", val=0.2, test=0.2)
    assert classifier.run_ == tmp_path / "run"
    assert (classifier.run_ / "report.html").is_file()
    assert classifier.metrics_["headline"] == "test"
    assert classifier.metrics_["test"]["n"] == 12
    assert classifier.classes_.tolist() == ["dark", "light", "middle"]
    assert classifier.score(paths, labels) > 0.9
    assert load(tmp_path / "run").hash == classifier.bundle_.hash


def test_without_a_place_the_run_goes_with_the_classifier(tmp_path: Path, no_page: None) -> None:
    make_pictures(tmp_path, 60)
    classifier = ImageClassifier().fit(str(tmp_path))
    run = classifier.run_
    assert cache_folder() in run.parents
    assert (run / "metrics.json").is_file()
    del classifier
    gc.collect()
    assert not run.exists()


# ---- keeping it -----------------------------------------------------------------------------------------------


def test_a_saved_classifier_answers_the_same_and_is_not_overwritten(fitted: Fitted, tmp_path: Path) -> None:
    classifier, paths, _ = fitted
    classifier.save(tmp_path / "saved")
    expected = classifier.predict(paths).tolist()
    bundle = load(tmp_path / "saved")
    bundle.verify()
    assert [answer[0]["label"] for answer in bundle.predict(paths)] == expected
    with pytest.raises(ArtefactError, match="Expected a new or empty folder, got a folder with files"):
        classifier.save(tmp_path / "saved")


@pytest.mark.parametrize("travel", [lambda fitted: pickle.loads(pickle.dumps(fitted)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_fitted_classifier_can_travel(fitted: Fitted, tmp_path: Path, travel: Callable[[Any], Any]) -> None:
    classifier, paths, _ = fitted
    expected = classifier.predict_proba(paths)
    other = travel(classifier)
    assert other.bundle_.folder != classifier.bundle_.folder
    assert other.metrics_ == classifier.metrics_
    np.testing.assert_array_equal(other.predict_proba(paths), expected)
    assert other.seed == 2
    other.save(tmp_path / "saved")
    assert load(tmp_path / "saved").hash == other.bundle_.hash


def test_a_new_fit_forgets_the_old_one(pictures: tuple[list[str], Labels]) -> None:
    paths, labels = pictures
    classifier = ImageClassifier().fit(paths, labels)
    first = classifier.bundle_.folder
    classifier.fit(paths, np.where(labels == "dark", 1, 0))
    gc.collect()
    assert classifier.predict(paths[:1]).tolist() == [1]
    assert not first.exists()
    assert len(list(cache_folder("fitted").iterdir())) == 1
