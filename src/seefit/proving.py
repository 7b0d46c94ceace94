"""The proof of the fast engine: on some of the run's own images it must say what the reference says."""

from __future__ import annotations

import numpy as np

from seefit.console import Console
from seefit.evaluation.calibrate import softmax
from seefit.parts import Part
from seefit.training.features import FeatureExtractor
from seefit.training.head import Head

ENGINE_CHECK_IMAGES = (200, 800)  # a first look; and, where that fails, a second that chance cannot fail as easily
ENGINE_MAX_DIFFERENCE = 0.03  # mean difference of a probability from the reference
ENGINE_MIN_AGREEMENT = 0.98  # share of images with the same label as the reference


def engine_difference(extractor: FeatureExtractor, head: Head, part: Part, console: Console) -> dict[str, float] | None:
    """Compare the probabilities of the fast engine with those of the reference, None where they are one.

    200 images hold four labels that may differ; an engine that changes one label in a hundred, as bf16 does, changes five by
    chance in one of twenty looks. So 200 that fail are looked at again among 800.

    Args:
        extractor: What gives the features.
        head: Fitted on those of the fast engine.
        part: Images to compare on.
        console: Where to show progress.
    """
    if extractor.engine is extractor.reference:
        return None
    for count in ENGINE_CHECK_IMAGES:
        samples, sha256 = part.spread(count)
        fast, exact = (
            softmax(head.logits(extractor.extract(samples, sha256, exact=exact, console=console, label="Checking the engine")))
            for exact in (False, True)
        )
        same = float((fast.argmax(1) == exact.argmax(1)).mean())
        found = {"images": len(samples), "mean_difference": float(np.abs(fast - exact).mean()), "same_label": same}
        if not _differs(found) or len(samples) == len(part.samples):
            break
    return found


def fell_back(extractor: FeatureExtractor, difference: dict[str, float], console: Console) -> bool:
    """Go on with the reference where the fast engine differs too much, and say so; return whether that is so.

    Args:
        extractor: What gives the features.
        difference: From `engine_difference`.
        console: Where to say it.
    """
    if not _differs(difference):
        return False
    found = f"mean difference {difference['mean_difference']:.3f}, {difference['same_label']:.1%} the same label"
    console.warn(f"{extractor.engine.name} differs from the reference ({found}): using {extractor.reference.name}")
    extractor.use_reference()
    return True


def _differs(difference: dict[str, float]) -> bool:
    return difference["mean_difference"] > ENGINE_MAX_DIFFERENCE or difference["same_label"] < ENGINE_MIN_AGREEMENT
