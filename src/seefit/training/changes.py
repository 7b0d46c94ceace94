"""What augmentation does to pixels: turning, warping, colours, erasing, and the fourteen changes of TrivialAugmentWide.

Everything here is a function of an image and of numbers that were drawn elsewhere: nothing is drawn here, so that any
number of threads may work at once. Images are (3, H, W) uint8 tensors of any size, 1x1 too, and are never changed in place.

A rotation or a zoom out shows places that the photograph does not. They are filled by reflection: it has the colours and
the texture of the picture itself, where a plain colour would make wedges that no real picture has and that
a network could learn to look at. The price is that what lies at the very edge may be seen twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

LARGEST = 1_500_000  # pixels of an image that is warped or coloured; larger ones are averaged over whole boxes first
TRANSLATION = 32 / 224  # of the side: the 32 pixels of the paper at the 224 of ImageNet
STEEPEST = 0.99  # shear, and change of a factor
WIDEST = 135.0  # degrees

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # top, left, height, width
Matrix = tuple[float, float, float, float, float, float]  # from (x, y, 1) in the output, seen from the centre, to x and y in the image


def turned(pixels: Pixels, quarters: int, mirrored: bool) -> Pixels:
    """Return (H, W, 3) pixels mirrored left to right, then turned anticlockwise by quarter turns; exact."""
    whole_pixels = np.ascontiguousarray(pixels).view("V3")[..., 0]  # moved as one: twice as fast as three numbers
    moved = np.rot90(whole_pixels[:, ::-1] if mirrored else whole_pixels, quarters)
    return np.ascontiguousarray(moved)[..., np.newaxis].view(np.uint8)


def shrunk(pixels: Pixels) -> Pixels:
    """Return (H, W, 3) pixels, averaged over whole k x k boxes where they are more than `LARGEST`, with the smallest k that suffices."""
    height, width = pixels.shape[:2]
    factor = math.ceil(math.sqrt(height * width / LARGEST))
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """Return (H, W, 3) pixels as a (3, H, W) tensor of its own."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def to_pixels(image: Tensor) -> Pixels:
    """Return an image as (H, W, 3) pixels."""
    return np.ascontiguousarray(image.numpy().transpose(1, 2, 0))


def rotation(degrees: float, zoom: float = 1.0) -> Matrix:
    """Return the matrix that turns an image anticlockwise about its centre and makes it ``zoom`` times as large."""
    cos, sin = (f(math.radians(degrees)) / zoom for f in (math.cos, math.sin))
    return cos, -sin, 0.0, sin, cos, 0.0


def whole(image: Tensor) -> Box:
    """Return the box that is the whole image."""
    return 0, 0, image.shape[1], image.shape[2]


def box_of(share: float, ratio: float, down: float, right: float, height: int, width: int) -> Box:
    """Return a box by its area, its shape and its place.

    Args:
        share: Area, as a share of the whole; always kept, to whole pixels.
        ratio: Width to height, in units of the image's own; drawn towards 1 where such a box would not fit.
        down: Place from 0, at the top, to 1.
        right: Place from 0, at the left, to 1.
        height: Of the image in pixels.
        width: Of the image in pixels.
    """
    wide = min(1.0, math.sqrt(share * ratio))
    tall = min(1.0, share / wide)
    rows, columns = max(1, round(tall * height)), max(1, round(share / tall * width))
    return round(down * (height - rows)), round(right * (width - columns)), rows, columns


def cropped(image: Tensor, box: Box) -> Tensor:
    """Return the part of an image that lies in a box."""
    top, left, height, width = box
    return image[:, top : top + height, left : left + width]


def warped(image: Tensor, matrix: Matrix, box: Box) -> Tensor:
    """Return the part in ``box`` of the image that ``matrix`` makes, of the same size; outside, the image is reflected.

    The values are bilinear between the four nearest pixels, rounded.
    """
    _, height, width = image.shape
    top, left, rows, columns = box
    y = (torch.arange(top, top + rows) + (0.5 - height / 2))[:, None]
    x = (torch.arange(left, left + columns) + (0.5 - width / 2))[None, :]
    a, b, c, d, e, f = matrix
    grid = torch.stack([(a * x + b * y + c) * (2 / width), (d * x + e * y + f) * (2 / height)], -1)
    found = torch.nn.functional.grid_sample(
        image[None].float(), grid[None], mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return found[0].round_().clamp_(0, 255).to(torch.uint8)


def erased(image: Tensor, box: Box) -> Tensor:
    """Return the image with a box painted in its own mean colour (Zhong et al. 2020, random erasing)."""
    top, left, height, width = box
    colour = image.float().mean((1, 2), keepdim=True).round().to(torch.uint8)
    return torch.as_tensor(tv.erase(image, top, left, height, width, colour))


# Part of an augmentation → what it does with the number that was drawn for it, in the order in which they are applied.
COLOURS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "brightness": tv.adjust_brightness,
    "contrast": tv.adjust_contrast,
    "saturation": tv.adjust_saturation,
    "hue": tv.adjust_hue,
}


def grey(image: Tensor) -> Tensor:
    """Return the image in grey, with three channels."""
    return torch.as_tensor(tv.rgb_to_grayscale(image, num_output_channels=3))


def _warp(image: Tensor, *matrix: float) -> Tensor:
    a, b, c, d, e, f = matrix
    return warped(image, (a, b, c, d, e, f), whole(image))


# Müller and Hutter 2021, TrivialAugment, the wide augmentation space: name → what it does at a strength of -1 to 1. Where there is
# but one direction, the sign does not count. Lengths in pixels are shares of the side, for views are made before the resize.
TRIVIAL: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda image, _: image,
    "shear-x": lambda image, s: _warp(image, 1, STEEPEST * s, 0, 0, 1, 0),
    "shear-y": lambda image, s: _warp(image, 1, 0, 0, STEEPEST * s, 1, 0),
    "translate-x": lambda image, s: _warp(image, 1, 0, TRANSLATION * s * image.shape[2], 0, 1, 0),
    "translate-y": lambda image, s: _warp(image, 1, 0, 0, 0, 1, TRANSLATION * s * image.shape[1]),
    "rotate": lambda image, s: _warp(image, *rotation(WIDEST * s)),
    "brightness": lambda image, s: tv.adjust_brightness(image, 1 + STEEPEST * s),
    "saturation": lambda image, s: tv.adjust_saturation(image, 1 + STEEPEST * s),
    "contrast": lambda image, s: tv.adjust_contrast(image, 1 + STEEPEST * s),
    "sharpness": lambda image, s: tv.adjust_sharpness(image, 1 + STEEPEST * s),
    "posterize": lambda image, s: tv.posterize(image, 8 - round(6 * abs(s))),
    "solarize": lambda image, s: tv.solarize(image, 255 * (1 - abs(s))),
    "autocontrast": lambda image, _: tv.autocontrast(image),
    "equalize": lambda image, _: tv.equalize(image),
}
