"""Near-duplicates: recompressed, resized or slightly brightened copies of one picture.

A short signature of each image only proposes pairs; two small thumbnails of the images confirm them. The signature
is a projection of the normalised thumbnail on a few directions, so that pictures that match are never far apart in
it: a tree over the signatures finds every pair that is worth a look without comparing all with all.

A cluster is a star, not a chain: every member matches the image that stands for the cluster. A film of a thousand
frames, each like the next, therefore falls into several clusters and never becomes one.

The limits come from pictures that look alike and are not copies: over the 2,624 solar cells of ELPV every other cell
is at least 0.060 away, while about 90 % or more of the copies of each kind (JPEG quality 30 and 60, half and third
size, brightness +-10 %) are within 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.environment import threads

SIDE = 32
COLOUR_SIDE = 8
FINGERPRINT_BYTES = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE

# All three in units of the thumbnail's own standard deviation, or in levels of 0 to 255 where said.
MAX_DISTANCE = 0.05  # root mean square difference of the normalised grey thumbnails
MAX_LOCAL = 0.3  # largest difference at one place: a small object that is there in one picture only
MAX_COLOUR = 12  # largest difference of the colour (Cb, Cr) at one place, in levels
MIN_CONTRAST = 2.0  # standard deviation, in levels, under which an image shows too little to be compared

_SIGNATURE = 8  # numbers per signature: few, so that the tree stays fast on crowds of look-alikes
_REACH = 0.03  # farthest that two signatures may be apart to be proposed; copies of real photographs stay below 0.026
_NEIGHBOURS = 16  # proposals per image and round
_CHUNK = 4096  # pairs compared at once: 32 MB


def fingerprint(picture: Image.Image) -> bytes:
    """Return a small thumbnail of an RGB image: 32x32 grey levels, then 8x8 of each colour difference (Cb, Cr).

    Returns:
        ``FINGERPRINT_BYTES`` bytes.
    """
    # reducing_gap: whole boxes first where the image is over twice too large, which is faster
    small = picture.resize((SIDE, SIDE), Image.Resampling.HAMMING, reducing_gap=2.0)
    grey, *colours = small.convert("YCbCr").split()
    return grey.tobytes() + b"".join(colour.reduce(SIDE // COLOUR_SIDE).tobytes() for colour in colours)


def star_clusters(fingerprints: Sequence[bytes]) -> NDArray[np.int64]:
    """Group near-duplicates so that every member matches the image that stands for its group.

    Args:
        fingerprints: One `fingerprint` per image. The order decides which image stands for a group: pass
            them in an order that does not depend on how files are listed.

    Returns:
        (N,) int64: for each image the index of the one that stands for its group, often its own.
    """
    stands_for = np.arange(len(fingerprints))
    thumbnails = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, FINGERPRINT_BYTES)
    active = np.flatnonzero(_contrast(thumbnails) >= MIN_CONTRAST)
    if len(active) < 2:
        return stands_for
    signatures = _signatures(thumbnails, active)
    while len(active) > 1:
        pairs = active[_propose(signatures[active])]
        pairs = pairs[_confirmed(thumbnails, pairs)]
        if not len(pairs):
            break
        leader = _leaders(pairs, len(fingerprints))
        _adopt(stands_for, leader, thumbnails)
        active = active[leader[active] == active]
    return stands_for


def _grey(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the grey part with mean 0 and standard deviation 1, (N, 1024) float32."""
    grey = thumbnails[:, : SIDE * SIDE].astype(np.float32)
    grey -= grey.mean(axis=1, keepdims=True)
    grey /= np.maximum(grey.std(axis=1, keepdims=True), 1e-6)
    return grey


def _contrast(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [thumbnails[i : i + _CHUNK, : SIDE * SIDE].std(axis=1, dtype=np.float32) for i in range(0, len(thumbnails), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _signatures(thumbnails: NDArray[np.uint8], active: NDArray[np.int64]) -> NDArray[np.float64]:
    """Project each normalised thumbnail on its 8x8 block means, and these on the directions in which they differ most.

    Scaled so that the distance of two signatures is never larger than that of their thumbnails.
    """
    block = SIDE // COLOUR_SIDE
    coarse = np.zeros((len(thumbnails), COLOUR_SIDE**2))
    for start in range(0, len(active), _CHUNK):
        some = active[start : start + _CHUNK]
        cells = _grey(thumbnails[some]).reshape(-1, COLOUR_SIDE, block, COLOUR_SIDE, block)
        coarse[some] = cells.mean(axis=(2, 4)).reshape(len(some), -1) / COLOUR_SIDE
    centred = coarse - coarse[active].mean(axis=0)
    _, directions = np.linalg.eigh(centred[active].T @ centred[active])
    signatures: NDArray[np.float64] = centred @ directions[:, -_SIGNATURE:]
    return signatures


def _propose(signatures: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return pairs (P, 2), smaller index first, of signatures close enough to be of near-duplicates."""
    from scipy.spatial import cKDTree

    nearest = min(_NEIGHBOURS + 1, len(signatures))
    _, found = cKDTree(signatures, leafsize=32).query(signatures, k=nearest, distance_upper_bound=_REACH, workers=threads())
    left = np.repeat(np.arange(len(signatures)), nearest)
    right = found.reshape(-1)
    real = (right < len(signatures)) & (left != right)  # scipy fills missing neighbours with the length
    return np.unique(np.sort(np.stack([left[real], right[real]], axis=1), axis=1), axis=0).reshape(-1, 2)


def _confirmed(thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Compare the thumbnails of each pair; return which pairs are near-duplicates."""
    same = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _CHUNK):
        left, right = (thumbnails[pairs[start : start + _CHUNK, side]] for side in (0, 1))
        gap = np.abs(_grey(left) - _grey(right))
        colour = np.abs(left[:, SIDE * SIDE :].astype(np.int16) - right[:, SIDE * SIDE :]).max(axis=1)
        distance = np.sqrt((gap**2).mean(axis=1))
        same[start : start + _CHUNK] = (distance <= MAX_DISTANCE) & (gap.max(axis=1) <= MAX_LOCAL) & (colour <= MAX_COLOUR)
    return same


def _leaders(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Cover the pairs by stars: in order, each image without a leader leads its neighbours without one."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    starts = np.searchsorted(both[:, 0], np.arange(count + 1))
    leader = np.full(count, -1)
    for image in np.unique(pairs):
        if leader[image] < 0:
            neighbours = both[starts[image] : starts[image + 1], 1]
            leader[neighbours[leader[neighbours] < 0]] = image
            leader[image] = image
    return np.where(leader < 0, np.arange(count), leader)


def _adopt(stands_for: NDArray[np.int64], leader: NDArray[np.int64], thumbnails: NDArray[np.uint8]) -> None:
    """Move members to the leader of the image that stood for them, where they match that leader too."""
    moved = np.flatnonzero(leader[stands_for] != stands_for)
    pairs = np.stack([moved, leader[stands_for[moved]]], axis=1)
    pairs = pairs[_confirmed(thumbnails, pairs)]
    stands_for[pairs[:, 0]] = pairs[:, 1]
