"""``ImageClassifier``: seefit with scikit-learn's rules.

It learns from whatever `seefit train` takes, or from image paths and labels, so that scikit-learn's own tools work on
paths: ``cross_val_score``, ``GridSearchCV``, pipelines. Features are kept by content, so an image costs the network
once, however many folds and candidates see it. Predictions come from the bundle's reference graph, never from torch.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from seefit.arguments import check_classes, known_labels, labelled, read_paths, refuse_arguments, untrusted, unusable
from seefit.bundle.bundle import Bundle, copy_bundle, load, save_bundle
from seefit.bundle.predict import Prediction, predict
from seefit.bundling import bundle_parts
from seefit.choosing import settle_backbone
from seefit.console import Console
from seefit.data.dataset import Dataset, Sample, natural_order
from seefit.data.findings import find
from seefit.data.image import MAX_PIXELS
from seefit.data.scan import scan
from seefit.data.split import make_split
from seefit.environment import own_folder
from seefit.errors import UsageError, raise_all
from seefit.evaluation.calibrate import softmax
from seefit.files import write_bytes
from seefit.fitting import begin, check_model, open_extractor
from seefit.models.backbone import Backbone, load_module
from seefit.parts import Part
from seefit.pipeline import train
from seefit.settings import Settings, make_settings
from seefit.training.cache import Recipe, cached_features
from seefit.training.features import reference_recipe
from seefit.trusting import fit_trust

if TYPE_CHECKING:
    import torch

    from seefit.report.evaluation import Evaluation

PATHS = "image paths"  # what the settings name as data when the images come one by one
BLOCK = 4096  # images whose features are in memory at a time when predicting

Paths = Sequence[str | os.PathLike[str]] | NDArray[Any]


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of images on a frozen pretrained backbone.

    Args:
        backbone: ``lite0``, ``auto`` to choose by the images, any name that `seefit models` lists, your own ``file.py:function``, or a
            ``torch.nn.Module``: from (N, 3, S, S) pixels, normalised as ImageNet's, to one tensor. It is copied; its weights are the start.
        method: ``probe``: a linear head on the frozen backbone; ``finetune``: then the upper layers are trained too; ``scratch``: the
            whole network is trained, from random weights.
        features: ``stages`` (mean and maximum of several late stages), ``pooled`` (the backbone's own), or ``auto``.
        image_size: Side of the backbone's input in pixels; None for its own.
        box: What of an image is seen: ``crop`` the centre, ``pad``, ``squash``, or ``auto`` from the shapes of the
            training images. (``--fit`` on the command line; an estimator's ``fit`` is its method.)
        class_weights: ``none``, ``balanced`` or ``prior``, as in `seefit.training.head.fit_head`.
        seed: Of folds and splits.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_pixels: Images with more pixels are refused.
        verbose: Whether to say on stderr what happens.

    Attributes:
        classes_: (C,) the classes in sorted order, of the type of the labels; the columns of `predict_proba`.
        bundle_: What was fitted, as `seefit.load` would return it.
        metrics_: Figures as in ``metrics.json``; after ``fit(paths, labels)`` those over folds alone.
        run_: The run folder; after ``fit(DATA)`` only. Without ``out`` it is removed together with the classifier.

    Example:
        >>> from sklearn.model_selection import cross_val_score
        >>> cross_val_score(ImageClassifier(), paths, labels, cv=5)  # doctest: +SKIP
    """

    bundle_: Bundle
    classes_: NDArray[Any]
    run_: Path
    metrics_: dict[str, Any]

    def __init__(
        self,
        backbone: str | torch.nn.Module = "lite0",
        *,
        method: str = "probe",
        features: str = "auto",
        image_size: int | None = None,
        box: str = "auto",
        class_weights: str = "none",
        seed: int = 0,
        device: str = "auto",
        max_pixels: int = MAX_PIXELS,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.method = method
        self.features = features
        self.image_size = image_size
        self.box = box
        self.class_weights = class_weights
        self.seed = seed
        self.device = device
        self.max_pixels = max_pixels
        self.verbose = verbose

    def fit(
        self,
        X: str | os.PathLike[str] | Paths,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: Sequence[Any] | NDArray[Any] | None = None,
        out: str | os.PathLike[str] | None = None,
        **data: Any,
    ) -> ImageClassifier:
        """Learn from a data set, or from exactly these images.

        Args:
            X: What `seefit train` takes (a folder, CSV, archive, URL or ``demo:NAME``): then the images are split, the
                classifier is judged on the test part, and a run folder is written. Or, with ``y``, N image paths: then
                all of them are trained on, and the temperature comes from out-of-fold scores.
            y: (N,) labels, text or whole numbers.
            sample_weight: (N,) how much each image counts, at least 0.
            groups: (N,) images of one group stay in one fold when the strength is chosen.
            out: The run folder of ``fit(DATA)``.
            **data: How to read and split DATA, named as the options of `seefit train`: ``labels``, ``group_by``,
                ``root``, ``val``, ``test`` and so on.

        Raises:
            UsageError: Arguments that make no sense.
            DataError: Images or labels that cannot be used; every unreadable image is named.
        """
        if y is None:
            refuse_arguments({"sample_weight": sample_weight, "groups": groups}, "paths and labels", "the name of a data set")
            return self._fit_data(X, out, data)
        refuse_arguments({"out": out, **data}, "the name of a data set", "paths and labels")
        return self._fit_images(X, y, sample_weight, groups)

    def predict(self, X: Paths) -> NDArray[Any]:
        """Return (N,) the most probable class of each image.

        Raises:
            NotFittedError: Before `fit`.
            DataError: Images that cannot be decoded, all named.
        """
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(1)])

    def predict_proba(self, X: Paths) -> NDArray[np.float64]:
        """Return (N, C) calibrated probabilities, columns in the order of ``classes_``; raises as `predict`.

        The features of the images are kept, so asking again costs nothing. To stream any number of images, save the
        classifier and use ``seefit.load(path).predictions``.
        """
        check_is_fitted(self)
        place = {name: i for i, name in enumerate(self.bundle_.classes)}
        columns = [place[str(name)] for name in self.classes_]
        blocks = [self._model.probabilities(features)[:, columns] for features in self._features(X)]
        return np.concatenate([np.empty((0, len(columns))), *blocks])

    def predict_set(self, X: Paths) -> NDArray[np.bool_]:
        """Return (N, C) which classes each image may be: sets that hold the right one as often as ``bundle_.sets.coverage`` says.

        That holds on average over images like those learnt from. Raises as `predict`, and a UsageError where there are no sets.
        """
        check_is_fitted(self)
        if self.bundle_.sets is None:
            raise untrusted("sets of classes", "predict_set")
        place = {str(name): i for i, name in enumerate(self.classes_)}
        answers = self._answers(X)
        found = np.zeros((len(answers), len(place)), np.bool_)
        for row, answer in enumerate(answers):
            found[row, [place[name] for name in answer.members or ()]] = True
        return found

    def predict_unknown(self, X: Paths) -> NDArray[np.bool_]:
        """Return (N,) whether each image is so unlike those learnt from that its class should not be believed.

        Of images like those learnt from, a share is refused that ``bundle_.manifest["trust"]["unknown"]["rate"]`` says. Raises as
        `predict`, and a UsageError where nothing tells. How unlike each is, tells ``bundle_.predictions``.
        """
        check_is_fitted(self)
        if not self.bundle_.refuses:
            raise untrusted("“none of these”", "predict_unknown")
        return np.array([answer.none_of_these for answer in self._answers(X)], np.bool_)

    def transform(self, X: Paths) -> NDArray[np.float32]:
        """Return (N, D) the features that the head sees, by the reference; raises as `predict`."""
        check_is_fitted(self)
        return np.concatenate([np.empty((0, self._model.weight.shape[1]), np.float32), *self._features(X)])

    def evaluate(
        self, X: Paths | None = None, y: ArrayLike | None = None, *, sample_weight: ArrayLike | None = None, groups: Any = None
    ) -> Evaluation:
        """Judge the classifier on labelled images; without any, show how ``fit(DATA)`` judged it.

        Args:
            X: N image paths that it has not learnt from.
            y: (N,) labels, all of them classes that it knows.
            sample_weight: (N,) how much each image counts in weighted accuracy.
            groups: (N,) images of one group are not independent: intervals are made of whole groups.

        Raises:
            NotFittedError: Before `fit`.
            UsageError: Images without labels; no images, and it was not fitted on a data set.
            DataError: Images or labels that cannot be used.
        """
        from seefit.report.evaluation import Evaluation

        check_is_fitted(self)
        if X is None and y is None and getattr(self, "run_", None) is not None:
            return Evaluation.read(self.run_)
        if X is None or y is None:
            hint = "Call evaluate(paths, labels), or evaluate() after fit(DATA)"
            got = "no images" if X is None else "no labels"
            raise UsageError("Nothing to judge by", where="ImageClassifier.evaluate", expected="images and labels", got=got, hint=hint)
        names, classes = [str(label) for label in column_or_1d(y)], [str(name) for name in self.classes_]
        samples = labelled(read_paths(X), names, sample_weight, groups, call="evaluate")
        numbers = known_labels(names, classes)
        return Evaluation.judge(samples, self.predict_proba(X), numbers, classes, seed=self.seed)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier as a bundle, which ``seefit.load`` and every command take.

        Raises:
            NotFittedError: Before `fit`.
            ArtefactError: There is something at ``path`` already.
            ResourceError: The disk is full or the place cannot be written to.
        """
        check_is_fitted(self)
        copy_bundle(self.bundle_.folder, Path(path))

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that samples are paths and not rows of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Give the bundle as the bytes of its files: open sessions and a folder of this machine cannot travel."""
        state = dict(super().__getstate__())
        if state.pop("_model", None) is not None:
            folder = state.pop("bundle_").folder
            state["_files"] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            state.pop("run_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Write the bundle's files to the cache folder again, and check them as `seefit.load` does."""
        state = dict(state)
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is not None:
            with _temporary_folder() as folder:
                for name, content in files.items():
                    (folder / name).parent.mkdir(exist_ok=True)
                    write_bytes(folder / name, content)
                self._keep(folder, temporary=True)

    def _fit_data(self, X: Any, out: str | os.PathLike[str] | None, data: dict[str, Any]) -> ImageClassifier:
        if not isinstance(X, (str, os.PathLike)):
            raise UsageError(
                "Cannot learn from these images",
                where="ImageClassifier.fit",
                expected="their labels, or the name of a folder, CSV, archive or demo set",
                got=f"{type(X).__name__} without labels",
                hint="Call fit(paths, labels)",
            )
        backbone = self._backbone()
        settings = self._settings(os.fspath(X), backbone, **data)
        with contextlib.nullcontext(Path(out)) if out is not None else _temporary_folder() as folder:
            run = train(settings, out=folder, backbone=backbone, console=self._console())
            self._keep(folder, temporary=out is None)
        self.run_, self.metrics_ = run.path, run.metrics
        self.classes_ = np.unique(self.bundle_.classes)
        return self

    def _fit_images(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, groups: Any) -> ImageClassifier:
        backbone, console = self._backbone(), self._console()
        settings = self._settings(PATHS, backbone)
        check_model(settings, backbone, choosing=True)
        labels = column_or_1d(y)
        check_classification_targets(labels)
        found, numbers = np.unique(labels, return_inverse=True)
        names = [str(name) for name in found]
        samples = labelled(read_paths(X), [names[i] for i in numbers], sample_weight, groups)
        check_classes(names)
        classes = tuple(natural_order(names))

        # without their labels: two labels on one image are the caller's will, and neither is left out
        seen = scan(Dataset(PATHS, Path(), read_paths(X), ()), max_pixels=self.max_pixels, console=console)
        raise_all([unusable(skip.name, skip.reason, skip in seen.unreadable) for skip in [*seen.skips, *seen.unreadable]])
        units = make_split(samples, seen.sha256, seen.clusters, val=0, test=0).units
        part = Part(samples, seen.sha256, np.asarray(units, np.int64))
        settings, _ = settle_backbone(settings, None, part, seen.sizes, classes, console=console)
        extractor = open_extractor(settings, seen.sizes, backbone=backbone, console=console)
        fitted = begin(settings, extractor, classes, part, console=console)
        if settings.way != "probe":
            from seefit.finetuning import finetune_probe

            fitted, _ = finetune_probe(settings, fitted, classes, part, None, console=console)

        with _temporary_folder() as folder:
            save_bundle(folder, bundle_parts(fitted, classes, settings, part, fit_trust(fitted, settings, classes, part)))
            self._keep(folder, temporary=True)
        self.classes_ = found
        self.metrics_ = {"headline": "cross_validation", "cross_validation": fitted.folds}
        self.metrics_ |= {"temperature": fitted.temperature, "calibrated": fitted.calibrated}
        return self

    def _backbone(self) -> Backbone | None:
        """Return the backbone that is made of a module; None where a name tells it."""
        return None if isinstance(self.backbone, str) else load_module(self.backbone, self.image_size, console=self._console())

    def _settings(self, data: str, backbone: Backbone | None, **others: Any) -> Settings:
        """Return the settings of a run: the constructor's, and those of ``fit(DATA)``."""
        own = {"fit": self.box, **{key: value for key, value in self.get_params().items() if key not in {"box", "verbose"}}}
        own |= {"backbone": backbone.name} if backbone is not None else {}
        again = {key: value for key, value in others.items() if key in own}
        refuse_arguments(again, "it as an argument of ImageClassifier", "it as an argument of fit")
        return make_settings({"data": data, **own, **others})

    def _console(self) -> Console:
        return Console(quiet=not self.verbose)

    def _keep(self, folder: Path, *, temporary: bool) -> None:
        """Open the run or bundle in a folder; a temporary one goes when nothing holds the bundle any more."""
        self._model = _Model.read(folder)
        self.bundle_ = self._model.bundle
        if temporary:
            weakref.finalize(self.bundle_, shutil.rmtree, folder, ignore_errors=True)

    def _answers(self, X: Any) -> list[Prediction]:
        """Return the bundle's own answers, all that it tells of an image."""
        answers = list(predict(self.bundle_, read_paths(X), max_pixels=self.max_pixels))
        raise_all([answer.error for answer in answers if answer.error is not None])
        return answers

    def _features(self, X: Any) -> Iterator[NDArray[np.float32]]:
        """Yield (n, D) features, a block of images at a time, once all files are known to be images."""
        samples, console = read_paths(X), self._console()
        found, _ = find(samples, max_pixels=self.max_pixels, console=console)
        pairs = zip(samples, found, strict=True)
        raise_all([unusable(sample.name, finding.reason, finding.unreadable) for sample, finding in pairs if finding.reason is not None])
        for start in range(0, len(samples), BLOCK):
            block = slice(start, start + BLOCK)
            contents = [finding.sha256 for finding in found[block]]
            yield self._model.features(samples[block], contents, max_pixels=self.max_pixels, console=console)


@dataclass(frozen=True)
class _Model:
    """A bundle taken apart where its features are, so that they can be kept."""

    bundle: Bundle
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    recipe: Recipe

    @classmethod
    def read(cls, folder: Path) -> _Model:
        bundle = load(folder)
        return cls(bundle, *bundle.head(), reference_recipe(bundle))

    def features(self, samples: Sequence[Sample], sha256: Sequence[str], *, max_pixels: int, console: Console) -> NDArray[np.float32]:
        reference, width = self.bundle.reference, self.weight.shape[1]
        return cached_features(samples, sha256, self.recipe, reference, reference, width=width, max_pixels=max_pixels, console=console)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return softmax(features @ self.weight.T + self.bias, self.bundle.manifest["temperature"])


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Yield a new folder in the cache folder; it is removed when the block fails."""
    folder = own_folder("fitted")
    try:
        yield folder
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        vars(error).pop("__notes__", None)  # how to go on with what is no more
        raise
