"""The networks with which image classification began, as their papers describe them, to be trained from scratch.

No one published weights of them in a form that fits these copies. `CLASSIC` lists them with the input that each
was made for. All take colour, (N, 3, S, S) float32, and give one logit per class; the softmax is the loss's part.
At another image size than the paper's, the first dense layer sees the whole last map, which is larger or smaller then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seefit.errors import UsageError, unknown_name

Colour = tuple[float, float, float]

IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
IMAGENET_STD: Colour = (0.229, 0.224, 0.225)
BYTES: Colour = (1 / 255, 1 / 255, 1 / 255)  # as std: values from 0 to 255, for which small initial weights were chosen
HALF: Colour = (0.5, 0.5, 0.5)

# LeNet-5's table I: which maps of S2 each map of C3 sees. The sixteenth sees all six.
THREES = ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5))
FOURS = (
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
)


class Grey(nn.Module):
    """Colour to grey, (N, 3, H, W) to (N, 1, H, W), by the shares of ITU-R BT.601."""

    shares: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shares", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sum of the three colours."""
        return (x * self.shares).sum(1, keepdim=True)


class Squash(nn.Module):
    """LeNet-5's scaled hyperbolic tangent, which maps 1 to 1 and -1 to -1 (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return 1.7159 tanh(2x/3)."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """LeNet-5's subsampling: the sum of each 2 x 2 square, times a trained number, plus a trained number, per map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, C, H // 2, W // 2)."""
        return F.avg_pool2d(x, 2) * 4 * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class TableConv(nn.Module):
    """LeNet-5's C3: 16 maps of 5 x 5 filters of which each sees three, four or all six of the maps below (table I)."""

    three_inputs: Tensor
    four_inputs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.threes = nn.Conv2d(18, 6, 5, groups=6)
        self.fours = nn.Conv2d(36, 9, 5, groups=9)
        self.six = nn.Conv2d(6, 1, 5)
        self.register_buffer("three_inputs", torch.tensor(THREES).flatten(), persistent=False)
        self.register_buffer("four_inputs", torch.tensor(FOURS).flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, 16, H - 4, W - 4) of maps (N, 6, H, W)."""
        return torch.cat([self.threes(x[:, self.three_inputs]), self.fours(x[:, self.four_inputs]), self.six(x)], 1)


class SameConv2d(nn.Conv2d):
    """A convolution that keeps height and width; with an even filter the odd row of zeros is below and to the right, as in Keras."""

    def forward(self, input: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of maps (N, c, H, W)."""
        before = [(size - 1) // 2 for size in self.kernel_size]
        after = [size // 2 for size in self.kernel_size]
        return super().forward(F.pad(input, (before[1], after[1], before[0], after[0])))


class LeNet5(nn.Sequential):
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", fig. 2).

    The paper's input is grey: colour is made grey inside. Its last layer measures the distance to drawn letters (an RBF);
    here it is a linear layer, as everywhere since. Weights begin between -2.4 and 2.4 divided by a unit's number of inputs.

    Args:
        classes: Number of classes; the paper has 10.
        image_size: Side of the input in pixels; the paper has 32.
    """

    def __init__(self, classes: int = 10, image_size: int = 32) -> None:
        side = _after(_after(image_size, 5) // 2, 5) // 2
        _check_side("lenet5", image_size, side)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            grey=Grey(),
            c1=nn.Conv2d(1, 6, 5), squash1=Squash(), s2=Subsample(6), squash2=Squash(),
            c3=TableConv(), squash3=Squash(), s4=Subsample(16), squash4=Squash(),
            c5=nn.Conv2d(16, 120, side), squash5=Squash(), flatten=nn.Flatten(),
            f6=nn.Linear(120, 84), squash6=Squash(), output=nn.Linear(84, classes),
        )  # fmt: skip
        super().__init__(layers)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear, Subsample)):
                bound = 2.4 / (4 if isinstance(layer, Subsample) else layer.weight[0].numel())
                for parameter in layer.parameters():
                    nn.init.uniform_(parameter, -bound, bound)


class AlexNet(nn.Sequential):
    """AlexNet (Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks").

    With the two groups in which it lay on two graphics cards, the normalisation of responses and dropout. The paper says
    224 pixels; its 55 x 55 maps need 227. torchvision's network of this name is a narrower one of 2014.

    Args:
        classes: Number of classes; the paper has 1000.
        image_size: Side of the input in pixels.
    """

    def __init__(self, classes: int = 1000, image_size: int = 227) -> None:
        side = _after(_after(_after(_after(image_size, 11, 4), 3, 2), 3, 2), 3, 2)
        _check_side("alexnet", image_size, side)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(3, 96, 11, 4), relu1=nn.ReLU(), norm1=_response_norm(), pool1=nn.MaxPool2d(3, 2),
            conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2), relu2=nn.ReLU(), norm2=_response_norm(), pool2=nn.MaxPool2d(3, 2),
            conv3=nn.Conv2d(256, 384, 3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2), relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2), relu5=nn.ReLU(), pool5=nn.MaxPool2d(3, 2),
        )  # fmt: skip
        super().__init__(layers | _dense(256 * side**2, classes))
        _start_small(self, ones=("conv2", "conv4", "conv5", "fc6", "fc7"))


class ZFNet(nn.Sequential):
    """ZFNet (Zeiler and Fergus 2013, "Visualizing and understanding convolutional networks", fig. 3).

    AlexNet with smaller filters and steps below and without its groups. The paper starts all weights "to 10^-2" and all
    biases at 0; the weights are read as drawn from a normal distribution of that spread, as AlexNet's are.

    Args:
        classes: Number of classes; the paper has 1000.
        image_size: Side of the input in pixels; the paper has 224.
    """

    def __init__(self, classes: int = 1000, image_size: int = 224) -> None:
        side = _after(_after(_after(_after(_after(image_size, 7, 2, 1), 3, 2, 1), 5, 2), 3, 2, 1), 3, 2)
        _check_side("zfnet", image_size, side)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(3, 96, 7, 2, 1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(3, 2, 1), norm1=_response_norm(),
            conv2=nn.Conv2d(96, 256, 5, 2), relu2=nn.ReLU(), pool2=nn.MaxPool2d(3, 2, 1), norm2=_response_norm(),
            conv3=nn.Conv2d(256, 384, 3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, 3, padding=1), relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, 3, padding=1), relu5=nn.ReLU(), pool5=nn.MaxPool2d(3, 2),
        )  # fmt: skip
        super().__init__(layers | _dense(256 * side**2, classes))
        _start_small(self, ones=())


class Small(nn.Sequential):
    """The small network of a two-class rubbish sorter: two convolutions with large filters and one hidden dense layer.

    Written for Keras at first: weights begin as Glorot and Bengio 2010 drew them, biases at 0.

    Args:
        classes: Number of classes; the original has 2.
        image_size: Side of the input in pixels; the original has 225.
    """

    def __init__(self, classes: int = 2, image_size: int = 225) -> None:
        side = image_size // 3 // 3
        _check_side("small", image_size, side)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=SameConv2d(3, 64, 16), relu1=nn.ReLU(), pool1=nn.MaxPool2d(3),
            conv2=SameConv2d(64, 32, 8), relu2=nn.ReLU(), pool2=nn.MaxPool2d(3),
            flatten=nn.Flatten(), dense1=nn.Linear(32 * side**2, 128), relu3=nn.ReLU(),
            dropout=nn.Dropout(0.5), dense2=nn.Linear(128, classes),
        )  # fmt: skip
        super().__init__(layers)
        for layer in self:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # these have one


@dataclass(frozen=True)
class Classic:
    """A published network.

    Attributes:
        build: From the number of classes and the image size to the network.
        classes: As published.
        image_size: As published, in pixels.
        mean: Per channel, of RGB in [0, 1]: what is subtracted from the input.
        std: Per channel: what it is divided by.
    """

    build: Callable[[int, int], nn.Module]
    classes: int
    image_size: int
    mean: Colour
    std: Colour


# AlexNet and ZFNet saw values from 0 to 255 less the mean of the training images; here the mean is ImageNet's, per colour.
CLASSIC = {
    "lenet5": Classic(LeNet5, 10, 32, IMAGENET_MEAN, IMAGENET_STD),
    "alexnet": Classic(AlexNet, 1000, 227, IMAGENET_MEAN, BYTES),
    "zfnet": Classic(ZFNet, 1000, 224, IMAGENET_MEAN, BYTES),
    "small": Classic(Small, 2, 225, HALF, HALF),
}


def classic(name: str, classes: int | None = None, image_size: int | None = None) -> nn.Module:
    """Return a published network with its initial weights.

    Args:
        name: A name in `CLASSIC`.
        classes: Number of classes; None for as many as published.
        image_size: Side of the input in pixels; None for that published.

    Raises:
        UsageError: The name is unknown, or the image is too small for the network.

    Example:
        >>> sum(parameter.numel() for parameter in classic("small").parameters())
        2740706
    """
    if name not in CLASSIC:
        unknown_name("published network", name, CLASSIC)
    published = CLASSIC[name]
    return published.build(classes or published.classes, image_size or published.image_size)


def _after(side: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Return the side of a map after a convolution or pooling; 0 or less when there is nothing left of it."""
    return (side + 2 * padding - kernel) // stride + 1


def _check_side(name: str, image_size: int, side: int) -> None:
    if side < 1:
        raise UsageError(
            "The image is too small for the network",
            where=name,
            expected=f"some {CLASSIC[name].image_size} pixels a side",
            got=str(image_size),
            hint="Leave out --image-size to use the size that it was made for",
        )


def _response_norm() -> nn.LocalResponseNorm:
    """AlexNet's section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75. torch divides alpha by n, the paper does not."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def _dense(inputs: int, classes: int) -> OrderedDict[str, nn.Module]:
    """Return the three dense layers that AlexNet and ZFNet end with, with dropout after the first two."""
    return OrderedDict(
        flatten=nn.Flatten(),
        fc6=nn.Linear(inputs, 4096), relu6=nn.ReLU(), dropout6=nn.Dropout(0.5),
        fc7=nn.Linear(4096, 4096), relu7=nn.ReLU(), dropout7=nn.Dropout(0.5),
        fc8=nn.Linear(4096, classes),
    )  # fmt: skip


def _start_small(network: nn.Sequential, ones: tuple[str, ...]) -> None:
    """Draw weights with spread 0.01; biases of the named layers begin at 1 (AlexNet, section 5), the others at 0."""
    for name, layer in network.named_children():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 1.0 if name in ones else 0.0)  # type: ignore[arg-type]  # these have one
