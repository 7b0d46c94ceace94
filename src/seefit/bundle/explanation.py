"""Why a bundle says what it says of a picture: the exact class map of its graph, or where it has none, occlusion. Never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.class_map import BIAS, CLASS, MAP, PREDICTED, has_class_map
from seefit.bundle.runtime import in_batches, open_session, run_session
from seefit.environment import threads
from seefit.errors import unknown_name

if TYPE_CHECKING:
    from onnx import ModelProto

Float = NDArray[np.float32]

OCCLUDED = 7  # places in a row that are hidden, one after the other
HIDDEN_AT_ONCE = 8  # pictures with a hidden place in one batch


@dataclass(frozen=True)
class Explanation:
    """What each place of one picture has to do with the logit of one class.

    Attributes:
        label: The class.
        map: (G, G) float32 over the square that the network sees. Exact: what each place adds to the logit. Else: by how much the logit
            falls when the place is hidden.
        logit: Of the class, before the temperature.
        bias: What the logit has besides the sum of the map; None where the map is no sum.
        probabilities: (C,) float32, calibrated.
    """

    label: str
    map: Float
    logit: float
    bias: float | None
    probabilities: Float

    @property
    def exact(self) -> bool:
        """Whether the map and the bias add up to the logit."""
        return self.bias is not None


class Explainer:
    """A ``network`` part, ready to explain its answers.

    Args:
        network: With the class map, or without one.
        classes: C names, in the order of the outputs.
    """

    def __init__(self, network: ModelProto, classes: Sequence[str]) -> None:
        self.classes, self.exact = tuple(classes), has_class_map(network)
        self._session = open_session(network, intra_threads=threads())

    def run(self, pixels: Float, outputs: Sequence[str]) -> list[Float]:
        """Return outputs of the network for preprocessed pictures (N, 3, S, S)."""
        return run_session(self._session, outputs, {"pixels": pixels})

    def explain(self, pixels: Float, label: str | None = None) -> Explanation:
        """Explain the answer to one picture.

        Args:
            pixels: (3, S, S) float32, preprocessed.
            label: The class to explain; the predicted one when None.

        Raises:
            UsageError: No class of that name.
        """
        if label is not None and label not in self.classes:
            unknown_name("class", label, self.classes)
        number = PREDICTED if label is None else self.classes.index(label)
        return self._read_map(pixels, number) if self.exact else self._occlude(pixels, number)

    def _read_map(self, pixels: Float, number: int) -> Explanation:
        inputs = {"pixels": pixels[np.newaxis], CLASS: np.array([number])}
        maps, biases, logits, probabilities = run_session(self._session, [MAP, BIAS, "logits", "probabilities"], inputs)
        number = int(logits[0].argmax()) if number == PREDICTED else number
        return Explanation(self.classes[number], maps[0], float(logits[0, number]), float(biases[0]), probabilities[0])

    def _occlude(self, pixels: Float, number: int) -> Explanation:
        logits, probabilities = self.run(pixels[np.newaxis], ["logits", "probabilities"])
        number = int(logits[0].argmax()) if number == PREDICTED else number
        hidden = (hide(pixels, row, column) for row, column in product(range(OCCLUDED), repeat=2))
        after = [self.run(np.stack(batch), ["logits"])[0][:, number] for batch in in_batches(hidden, HIDDEN_AT_ONCE)]
        drops = logits[0, number] - np.concatenate(after).reshape(OCCLUDED, OCCLUDED)
        return Explanation(self.classes[number], drops, float(logits[0, number]), None, probabilities[0])


def hide(pixels: Float, row: int, column: int) -> Float:
    """Return a picture with one place hidden by a patch of the mean colour that reaches half a place beyond it on every side.

    Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2: a grey square.

    Args:
        pixels: (3, S, S) float32, normalised: 0 is the mean colour.
        row: Of the place, from 0 to `OCCLUDED` - 1.
        column: Likewise.
    """
    side, hidden = pixels.shape[1], pixels.copy()
    (top, bottom), (left, right) = (
        (max(0, round((at - 0.5) * side / OCCLUDED)), round((at + 1.5) * side / OCCLUDED)) for at in (row, column)
    )
    hidden[:, top:bottom, left:right] = 0
    return hidden
