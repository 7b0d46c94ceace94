"""Options that several commands share; all light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _image(*names: str, help: str, default: str) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Images and labels")


def _model(*names: str, help: str, default: str) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Model")


def _training(*names: str, help: str, default: str) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Training layers (--method finetune or scratch)")


def _common(*names: str, help: str, default: str | bool = False) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel="Common")


_DATA = typer.Argument(help="A folder, a CSV, a zip or tar archive, a URL of one, or demo:NAME.", show_default=False)
Data = Annotated[str, _DATA]
OptionalData = Annotated[str | None, _DATA]
Config = Annotated[Path | None, typer.Option(help="Take the settings from a config.yaml; options given by hand win.", show_default=False)]
RunPath = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]

Labels = Annotated[str | None, _image(help="folder, csv, or a regular expression whose first group is the class.", default="folder")]
Root = Annotated[Path | None, _image(help="The folder that a CSV's paths are relative to.", default="the CSV's folder")]
GroupBy = Annotated[str | None, _image(help="Keep together by: a CSV column, a regular expression, or none.", default="the group column")]
FollowLinks = Annotated[bool | None, _image("--follow-links", help="Also take files that links outside DATA point to.", default="off")]
Sha256 = Annotated[str | None, _image(help="What an archive must have.", default="not checked")]
Extend = Annotated[Path | None, _image(help="A finished run: DATA is added to its images and classes.", default="none")]
MaxSkipped = Annotated[float | None, _image(help="Largest share of images that may be left out.", default="0.01")]
MaxPixels = Annotated[int | None, _image(help="Images with more pixels are left out.", default="100000000")]
AllowLeak = Annotated[bool | None, _image("--allow-leak", help="Accept the same image on two sides of a given split.", default="off")]
Val = Annotated[float | None, _image(help="Validation part, as a share of all images.", default="0.15")]
Test = Annotated[float | None, _image(help="Test part, as a share of all images.", default="0.15")]
TestFromVal = Annotated[float | None, _image(help="Share of the validation part that becomes the test part.", default="off")]

Gallery = Annotated[
    bool | None,
    _model("--gallery", help="Keep small pictures of training images in the model, to be shown beside new ones like them.", default="off"),
]
Backbone = Annotated[
    str | None,
    _model(
        "--backbone",
        "--model",
        help="lite0, auto (chosen by the training images), any timm model, torchvision/NAME, or your own as file.py:function; for --preset "
        "best several, as NAME,NAME.",
        default="lite0",
    ),
]
Features = Annotated[
    str | None,
    _model(
        help="stages (late maps, mean and maximum), pooled (the backbone's own output), flatten (its last map), or auto.", default="auto"
    ),
]
ImageSize = Annotated[
    int | None, _model("--image-size", "--imgsz", help="Side of the network's input in pixels.", default="the backbone's own")
]
Fit = Annotated[str | None, _model(help="crop, pad or squash what is not square; auto goes by the images' shapes.", default="auto")]
ClassWeights = Annotated[
    str | None, _model(help="none, balanced (rare classes count more), or prior (shift to equal shares).", default="none")
]
ProbeViews = Annotated[
    int | None,
    _model("--probe-views", help="Views of each training image (--augment) that a probe is fitted on; 1: the image alone.", default="1"),
]
Preset = Annotated[
    str | None,
    _model(
        help="fast: a linear probe on frozen features; balanced: then the upper layers are trained too; best: so with several networks, "
        "averaged.",
        default="fast",
    ),
]
Minutes = Annotated[
    float | None,
    _model(
        help="For --preset best: what the run may take; fewer networks or epochs when they would not fit. For --backbone auto: what the "
        "choice may take.",
        default="20; 1 for the choice",
    ),
]
Method = Annotated[
    str | None,
    _model(help="probe, finetune, or scratch (the whole network from random weights; no preset does that).", default="the preset's"),
]

Head = Annotated[
    str | None, _training(help="linear; logit: one, for two classes; hidden: a dense layer with ReLU in front.", default="linear")
]
Hidden = Annotated[int | None, _training(help="Units of the hidden layer.", default="128")]
Freeze = Annotated[
    str | None, _training(help="The highest frozen stage by name or number; all: only the head; none: train everything.", default="auto")
]
Augment = Annotated[
    str | None, _training(help="none, light, medium, strong, any-way-up, keep-colour; or with changes: light,rotation=20.", default="light")
]
Views = Annotated[int | None, _training(help="Augmented views of an image that are kept.", default="8")]
Epochs = Annotated[int | None, _training(help="How often every image is seen.", default="12; from scratch 30")]
Batch = Annotated[int | None, _training("--batch", "--batch-size", help="Images per batch.", default="64")]
Accumulate = Annotated[int | None, _training(help="Batches per step of the optimiser.", default="1")]
Optimiser = Annotated[
    str | None, _training("--optimiser", "--optimizer", help="sgd, momentum, adagrad, rmsprop, adam or adamw.", default="adamw")
]
Momentum = Annotated[float | None, _training(help="Of momentum, adam and adamw.", default="0.9")]
WeightDecay = Annotated[float | None, _training(help="Of all weights but biases and norms.", default="0.05")]
Lr = Annotated[
    str | None,
    _training(
        "--lr",
        help="One rate, a range from the lowest trained layer to the head, or auto: found by a short sweep before training.",
        default="by optimiser; adamw: 0.0003..0.002",
    ),
]
LrSpacing = Annotated[str | None, _training(help="Rates between the ends of a range: by equal factors or equal steps.", default="factor")]
ScaleLr = Annotated[
    bool | None, _training("--scale-lr", help="Take the rate as meant for batches of 256; not one that --lr auto finds.", default="off")
]
Schedule = Annotated[
    str | None,
    _training(help="constant, step, time, exponential, cosine, cyclical, plateau or one-cycle.", default="one-cycle"),
]
ScheduleOptions = Annotated[str | None, _training(help="Of the schedule, such as drop=0.1,every=7.", default="the schedule's own")]
Warmup = Annotated[float | None, _training(help="Epochs of linear rise in front of the schedule.", default="0")]
Loss = Annotated[
    str | None,
    _training(help="cross-entropy, binary-cross-entropy, focal, mse, l1 … or your own file.py:function.", default="cross-entropy"),
]
LabelSmoothing = Annotated[float | None, _training(help="Share of each target that is spread over all classes.", default="0")]
FocalGamma = Annotated[float | None, _training(help="Of the focal loss.", default="2")]
Mixup = Annotated[float | None, _training(help="Strength of mixup.", default="the augmentation's")]
Cutmix = Annotated[float | None, _training(help="Strength of cutmix.", default="the augmentation's")]
Noise = Annotated[float | None, _training(help="Noise on activations.", default="the augmentation's")]
Dropout = Annotated[
    float | None,
    _training(help="Share of the features, or of the hidden units, left out in training.", default="0; 0.2 for logit, 0.5 for hidden"),
]
Clip = Annotated[float | None, _training(help="Largest norm of the gradient.", default="off")]
Average = Annotated[float | None, _training(help="Decay of the moving average of the weights; 0 for none.", default="0")]
Norms = Annotated[str | None, _training(help="Batch norms above the boundary: frozen or trained.", default="frozen; from scratch trained")]
Gradual = Annotated[
    int | None, _training(help="Free one more stage every so many epochs, from the head down; 0: all at once.", default="0")
]
ZeroGamma = Annotated[
    bool | None, _training("--zero-gamma", help="From scratch: start every residual block as an identity.", default="off")
]
Precision = Annotated[str | None, _training(help="fp32, bf16, or auto: what is faster here.", default="auto")]
Patience = Annotated[int | None, _training(help="Stop after so many epochs without a better validation metric.", default="never")]
Monitor = Annotated[str | None, _training(help="The validation metric: loss, accuracy or balanced_accuracy.", default="loss")]
Keep = Annotated[str | None, _training(help="The weights of the best epoch or of the last.", default="best")]
Every = Annotated[int | None, _training(help="Also keep a checkpoint of every so many epochs.", default="off")]
Teacher = Annotated[Path | None, _training(help="A larger run or bundle of the same classes; its answers are learnt too.", default="none")]
TeacherWeight = Annotated[float | None, _training(help="Share of the teacher in the loss, 0 to 1.", default="0.5")]
TeacherTemperature = Annotated[float | None, _training(help="How far the answers of both are softened; 1: not at all.", default="2")]

Json = Annotated[bool, _common("--json", help="Print one JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, _common("--quiet", "-q", help="Say nothing but warnings and results.")]
Debug = Annotated[bool, _common("--debug", help="Show the traceback of an error.")]
Seed = Annotated[int | None, _common(help="Seed of everything that is drawn by chance.", default="0")]
Device = Annotated[str | None, _common(help="auto, cpu or cuda.", default="auto")]
