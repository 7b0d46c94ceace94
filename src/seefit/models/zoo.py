"""The table of backbones: what each one costs, what it was measured to reach, and under which licence.

Any model that timm knows can be named as a backbone; this table lists the ones that people ask for, so that
they can be compared before anything is downloaded.

What the numbers mean:

- ``parameters``: of the whole ImageNet classifier with its 1000 classes (``lenet5`` with 10, ``small`` with 2, as published).
  Counted on the built model.
- ``multiply_adds``: of one image at ``input_px``, convolutions and linear layers only; norms, activations and
  the products inside attention are left out. Counted with hooks on the built model. (Sources that count more
  print more: 407 M for Lite0, where the layers alone make 385 M; `seefit.models.summary` says what is known of that.)
- ``depth``: the most convolutions and linear layers that one value passes through, as in the "50" of ResNet-50.
- ``top1``, ``top5``: per cent on the 50,000 ImageNet validation images, copied from ``source`` for the weights
  that the name loads; None where the source has no figure. They were measured at ``input_px``.

``tests/test_zoo.py`` builds the models and counts again.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Where published figures were read: a table and its address."""

    table: str
    url: str


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table.

    Attributes:
        name: What a user types.
        timm_name: The name in timm, ``torchvision/<name>``, or a name in `PUBLISHED`.
        aliases: Other spellings that mean the same model.
        parameters: Number of weights, with 1000 classes.
        multiply_adds: For one image at ``input_px``; convolutions and linear layers.
        depth: Convolutions and linear layers on the longest way through.
        input_px: Width and height of the images that the model takes.
        top1: Published top-1 accuracy on ImageNet in per cent, or None.
        top5: Published top-5 accuracy on ImageNet in per cent, or None.
        licence: SPDX name of the licence of the weights, or of the code where there are none.
        source: Where ``top1`` and ``top5`` were read, or None when there are no published weights.
    """

    name: str
    timm_name: str
    aliases: tuple[str, ...]
    parameters: int
    multiply_adds: int
    depth: int
    input_px: int
    top1: float | None
    top5: float | None
    licence: str
    source: Source | None


LITE = Source(
    "EfficientNet-lite README, table of checkpoints, FP32 accuracy",
    "https://github.com/tensorflow/tpu/blob/07e173cc1597883918f5d1229b771b96f1c4c211/models/official/efficientnet/lite/README.md",
)
TIMM = Source(
    "timm, results/results-imagenet.csv of 2026-08-08",
    "https://github.com/huggingface/pytorch-image-models/blob/aa4b5850c1543fa488abf260f18390eda46cf85d/results/results-imagenet.csv",
)
TORCHVISION = Source("torchvision, table of classification weights (IMAGENET1K_V1)", "https://docs.pytorch.org/vision/stable/models.html")

# fmt: off
ZOO: tuple[Model, ...] = (
    #     name, timm name, other spellings, parameters, multiply-adds, depth, px, top-1, top-5, licence, source
    Model("lite0", "tf_efficientnet_lite0", ("efficientnet_lite0",), 4_652_008, 385_187_552, 50, 224, 75.1, None, "Apache-2.0", LITE),
    Model("lite1", "tf_efficientnet_lite1", ("efficientnet_lite1",), 5_416_680, 600_185_232, 65, 240, 76.7, None, "Apache-2.0", LITE),
    Model("lite2", "tf_efficientnet_lite2", ("efficientnet_lite2",), 6_092_072, 859_736_272, 65, 260, 77.6, None, "Apache-2.0", LITE),
    Model("lite3", "tf_efficientnet_lite3", ("efficientnet_lite3",), 8_197_096, 1_607_554_544, 74, 300, 79.808, 94.908, "Apache-2.0", TIMM),
    Model("lite4", "tf_efficientnet_lite4", ("efficientnet_lite4",), 13_006_568, 3_943_564_112, 92, 380, 81.540, 95.668, "Apache-2.0", TIMM),  # noqa: E501
    Model("resnet18", "resnet18", ("resnet-18",), 11_689_512, 1_814_073_344, 18, 224, 71.504, 90.086, "Apache-2.0", TIMM),
    Model("resnet34", "resnet34", ("resnet-34",), 21_797_672, 3_663_761_408, 34, 224, 76.420, 92.896, "Apache-2.0", TIMM),
    Model("resnet50", "resnet50", ("resnet-50",), 25_557_032, 4_089_184_256, 50, 224, 80.382, 94.598, "Apache-2.0", TIMM),
    Model("resnet101", "resnet101", ("resnet-101",), 44_549_160, 7_801_405_440, 101, 224, 81.950, 95.760, "Apache-2.0", TIMM),
    Model("resnet152", "resnet152", ("resnet-152",), 60_192_808, 11_513_626_624, 152, 224, 82.818, 96.124, "Apache-2.0", TIMM),
    Model("resnetv2_50", "resnetv2_50", ("resnet50v2",), 25_549_352, 4_089_184_256, 50, 224, 80.410, 95.082, "Apache-2.0", TIMM),
    Model("resnetv2_101", "resnetv2_101", ("resnet101v2",), 44_541_480, 7_801_405_440, 101, 224, 82.042, 95.866, "Apache-2.0", TIMM),
    Model("resnetv2_152", "resnetv2_152", ("resnet152v2",), 60_185_128, 11_513_626_624, 152, 224, None, None, "Apache-2.0", None),
    Model("vgg16", "vgg16", ("vgg-16",), 138_357_544, 15_470_264_320, 16, 224, 71.594, 90.398, "BSD-3-Clause", TIMM),
    Model("vgg19", "vgg19", ("vgg-19",), 143_667_240, 19_632_062_464, 19, 224, 72.400, 90.878, "BSD-3-Clause", TIMM),
    Model("inception_v3", "inception_v3", ("inceptionv3",), 23_834_568, 5_713_216_096, 48, 299, 77.472, 93.468, "Apache-2.0", TIMM),
    Model("inception_v4", "inception_v4", ("inceptionv4",), 42_679_816, 12_253_974_624, 76, 299, 80.144, 94.982, "Apache-2.0", TIMM),
    Model("inception_resnet_v2", "inception_resnet_v2", ("inceptionresnetv2", "inception-resnet-v2"), 55_843_464, 13_155_794_016, 176, 299, 80.434, 95.312, "Apache-2.0", TIMM),  # noqa: E501
    Model("torchvision/googlenet", "torchvision/googlenet", ("googlenet", "inception_v1"), 6_624_904, 1_498_376_192, 22, 224, 69.778, 89.530, "BSD-3-Clause", TORCHVISION),  # noqa: E501
    Model("torchvision/alexnet", "torchvision/alexnet", (), 61_100_840, 714_188_480, 8, 224, 56.522, 79.066, "BSD-3-Clause", TORCHVISION),
    Model("mobilenetv2", "mobilenetv2_100", ("mobilenet_v2", "mobilenet-v2"), 3_504_872, 300_774_272, 53, 224, 72.910, 91.000, "Apache-2.0", TIMM),  # noqa: E501
    Model("densenet121", "densenet121", ("densenet-121",), 7_978_856, 2_834_161_664, 121, 224, 75.574, 92.648, "Apache-2.0", TIMM),
    Model("densenet169", "densenet169", ("densenet-169",), 14_149_480, 3_359_843_328, 169, 224, 75.922, 92.976, "Apache-2.0", TIMM),
    Model("densenet201", "densenet201", ("densenet-201",), 20_013_928, 4_291_365_888, 201, 224, 77.284, 93.480, "Apache-2.0", TIMM),
    Model("nasnetlarge", "nasnetalarge", ("nasnet_large", "nasnet-large"), 88_753_150, 23_783_414_658, 128, 331, 82.638, 96.066, "Apache-2.0", TIMM),  # noqa: E501
    Model("efficientnet_b0", "efficientnet_b0", ("efficientnetb0",), 5_288_548, 385_814_752, 82, 224, 77.698, 93.538, "Apache-2.0", TIMM),
    Model("efficientnet_b1", "efficientnet_b1", ("efficientnetb1",), 7_794_184, 686_802_832, 116, 240, 80.404, 95.152, "Apache-2.0", TIMM),
    Model("efficientnet_b2", "efficientnet_b2", ("efficientnetb2",), 9_109_994, 859_853_760, 116, 256, 79.324, 94.582, "Apache-2.0", TIMM),
    Model("efficientnet_b3", "efficientnet_b3", ("efficientnetb3",), 12_233_232, 1_589_198_096, 131, 288, 81.472, 95.696, "Apache-2.0", TIMM),  # noqa: E501
    Model("efficientnet_b4", "efficientnet_b4", ("efficientnetb4",), 19_341_616, 3_063_687_008, 161, 320, 82.658, 96.134, "Apache-2.0", TIMM),  # noqa: E501
    Model("convnext_tiny", "convnext_tiny", ("convnext-tiny",), 28_589_128, 4_455_531_264, 59, 224, 84.192, 97.132, "Apache-2.0", TIMM),
    Model("vit_small", "vit_small_patch16_224", ("vit-small",), 22_050_664, 4_241_218_560, 50, 224, 81.402, 96.150, "Apache-2.0", TIMM),
    Model("vit_base", "vit_base_patch16_224", ("vit-base",), 86_567_656, 16_848_500_736, 50, 224, 85.108, 97.530, "Apache-2.0", TIMM),
    Model("deit_small", "deit_small_patch16_224", ("deit-small",), 22_050_664, 4_241_218_560, 50, 224, 79.856, 95.056, "Apache-2.0", TIMM),
    # As published and without weights, to be trained from scratch. torchvision's AlexNet is the narrower one of 2014.
    Model("lenet5", "lenet5", ("lenet-5",), 60_850, 326_520, 5, 32, None, None, "Apache-2.0", None),
    Model("alexnet", "alexnet", (), 60_965_224, 724_406_816, 8, 227, None, None, "Apache-2.0", None),
    Model("zfnet", "zfnet", (), 62_357_608, 1_168_032_896, 8, 224, None, None, "Apache-2.0", None),
    Model("small", "small", (), 2_740_706, 3_228_160_256, 4, 225, None, None, "Apache-2.0", None),
)
# fmt: on


def _spellings(model: Model) -> tuple[str, ...]:
    return (model.name, *model.aliases, model.timm_name)


PUBLISHED = ("lenet5", "alexnet", "zfnet", "small")  # built by `seefit.models.classic`

_BY_SPELLING = {spelling: model for model in ZOO for spelling in _spellings(model)}


def resolve(name: str) -> str:
    """Return the name to build by (timm's, ``torchvision/<name>`` or one in `PUBLISHED`) that a user's name for a backbone stands for.

    Args:
        name: A name or alias of the table, in any case, or any other name.

    Returns:
        The name to build the model by; a name that the table does not know comes back unchanged.

    Example:
        >>> resolve("lite0"), resolve("ResNet-50"), resolve("regnety_032")
        ('tf_efficientnet_lite0', 'resnet50', 'regnety_032')
    """
    model = _BY_SPELLING.get(name.lower())
    return model.timm_name if model else name


def matching(pattern: str) -> tuple[Model, ...]:
    """Return the rows of which some spelling fits a pattern such as ``resnet*``, in the order of the table."""
    wanted = pattern.lower()
    return tuple(model for model in ZOO if any(fnmatch.fnmatchcase(spelling, wanted) for spelling in _spellings(model)))


def weights_here(model: Model) -> bool:
    """Return whether the model's weights can be had on this machine without a network."""
    from seefit.models.weights import available

    return available(model.timm_name)
