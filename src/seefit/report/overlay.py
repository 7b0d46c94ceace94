"""A heat map over a picture: what speaks for a class in orange, what speaks against it in blue, the picture itself in grey below.

Orange and blue are told apart with every kind of colour blindness (Okabe & Ito 2008), and on a grey picture no colour is the picture's
own. How strong a place is shows in how much of the picture its colour covers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.box import on_picture
from seefit.bundle.graph import Fit

Float = NDArray[np.float32]
Pixels = NDArray[np.uint8]

FOR, AGAINST = (255, 145, 20), (70, 150, 255)
MOST = 0.75  # of a pixel is coloured at the strongest places
FULL = 0.015  # share of the picture that has the fullest colour: single places at an edge would leave all others pale
CONTRAST, PALEST = 0.75, 28.0  # of the picture, so that colours stand out from black and from white
FINEST = 28  # places in a row beyond which a map is smoothed as wide as one of these, so that single places can be seen
UNSEEN = 0.35  # brightness of what the network does not see


def overlay(picture: Pixels, values: Float, fit: Fit, size: tuple[int, int] | None = None) -> Pixels:
    """Draw a class map over the picture that it was made from.

    Args:
        picture: (H, W, 3) uint8, upright, or a smaller copy of it.
        values: (G, G) over the square that the network saw.
        fit: How that square was chosen.
        size: Width and height of the picture in pixels before it was made smaller; None when it was not.

    Returns:
        (H, W, 3) uint8. The strongest 1.5 % of the picture have the fullest colour; what the network did not see is dark.
    """
    shape = picture.shape[:2]
    heat, seen = on_picture(_smooth(values), fit, size or (shape[1], shape[0]), (shape[0], shape[1]))
    peak = float(np.quantile(np.abs(heat[seen]), 1 - FULL)) if seen.any() else 0.0
    share = MOST * np.minimum(np.abs(heat) / peak if peak > 0 else np.abs(heat) > 0, 1)[..., np.newaxis]
    grey = PALEST + CONTRAST * np.asarray(Image.fromarray(picture).convert("L"), np.float32)
    grey = np.where(seen, grey, UNSEEN * grey)[..., np.newaxis]
    colour = np.where(heat[..., np.newaxis] > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    return np.asarray(np.rint(grey * (1 - share) + colour * share), np.uint8)


def _smooth(values: Float) -> Float:
    """Return the map without its finest grain; a maximum lies in a single place, too small to be seen on a picture."""
    from scipy.ndimage import gaussian_filter

    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    return np.asarray(gaussian_filter(finite, max(len(values), 1) / FINEST if len(values) >= FINEST else 0.0, mode="nearest"), np.float32)


def strongest(values: Float) -> tuple[str, str]:
    """Return where a map speaks most for its class: ``top``, ``middle`` or ``bottom``, and ``left``, ``centre`` or ``right``."""
    smooth = _smooth(values)
    row, column = divmod(int(smooth.argmax()), smooth.shape[1])
    thirds = row * 3 // smooth.shape[0], column * 3 // smooth.shape[1]
    return ("top", "middle", "bottom")[thirds[0]], ("left", "centre", "right")[thirds[1]]
