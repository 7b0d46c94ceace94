"""seefit: from a folder of images to a classifier you can trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Dataset", "Evaluation", "ImageClassifier", "__version__", "load"]

if TYPE_CHECKING:
    from seefit.bundle.bundle import load
    from seefit.data.dataset import Dataset
    from seefit.estimator import ImageClassifier
    from seefit.report.evaluation import Evaluation


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that ``import seefit`` stays fast."""
    if name == "ImageClassifier":
        from seefit.estimator import ImageClassifier

        return ImageClassifier
    if name == "Dataset":
        from seefit.data.dataset import Dataset

        return Dataset
    if name == "Evaluation":
        from seefit.report.evaluation import Evaluation

        return Evaluation
    if name == "load":
        from seefit.bundle.bundle import load

        return load
    raise AttributeError(f"module 'seefit' has no attribute {name!r}")
