"""Training speed: on kept activations, and with images streamed, each against a plain torch loop in the same run.

    python benchmarks/finetune_speed.py [--images 512] [--rounds 3]

`kept`     the layers above the boundary and the head, on activations that the fast engine made before
`upper`    the same layers in torch as tutorials do it: eager, channels first, fp32, the full forward pass over decoded images
`streamed` the whole network by seefit's loop: images decoded and preprocessed beside the network
`whole`    the whole network in torch as tutorials do it

Every way does forward, backward and an AdamW step on batches of 64 and is timed over one pass, in turns. `upper` and `whole` get
their images through a DataLoader with as many workers as there are threads. Prints images/s and ratios as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from seefit import finetuning, plans
from seefit.console import QUIET
from seefit.data.demo import read_demo
from seefit.environment import threads
from seefit.files import sha256_file
from seefit.fitting import fit_probe, open_extractor
from seefit.models.backbone import create
from seefit.models.weights import find_weights
from seefit.parts import Part
from seefit.settings import make_settings
from seefit.training.augment import parse_augmentation
from seefit.training.finetune import Plan, _train_epoch

BATCH = 64
NAME = "tf_efficientnet_lite0"


class Files(torch.utils.data.Dataset[Any]):
    """Images as a tutorial reads them."""

    def __init__(self, part: Part, labels: np.ndarray[Any, Any]) -> None:
        self.part, self.labels = part, labels
        self.transform = v2.Compose(
            [
                v2.Resize(224),
                v2.CenterCrop(224),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.5,) * 3, (0.5,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.part.samples[i].path).convert("RGB")), int(self.labels[i])


def plain(part: Part, labels: np.ndarray[Any, Any], *, upper_only: bool) -> Callable[[], float]:
    """Return one pass of a plain torch loop."""
    model = create(NAME, find_weights(NAME))
    model.classifier = nn.Linear(1280, 2)
    if upper_only:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(("blocks.5", "blocks.6", "conv_head", "bn2", "classifier")))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    loader = torch.utils.data.DataLoader(Files(part, labels), BATCH, shuffle=True, num_workers=threads())

    def one_pass() -> float:
        model.train()
        started = time.perf_counter()
        for pixels, truth in loader:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(pixels), truth).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return len(labels) / (time.perf_counter() - started)

    return one_pass


def ours(part: Part, classes: tuple[str, ...], freeze: str, stack: ExitStack) -> Callable[[], float]:
    """Return one pass of seefit's loop; kept activations are there before it is timed."""
    settings = make_settings({"data": "demo:elpv", "method": "finetune", "freeze": freeze, "views": 1, "augment": "light", "batch": BATCH})
    extractor = open_extractor(settings, np.full((len(part.samples), 2), 300))
    features = extractor.extract(part.samples, part.sha256)
    fitted = fit_probe(settings, extractor, features, classes, part)
    augmentation = parse_augmentation(settings.augment)
    cut = finetuning.choose_cut(extractor.backbone, extractor.parts, freeze)
    network = finetuning._network(settings, fitted, part, cut)
    batches, _ = stack.enter_context(finetuning._batches(settings, extractor, cut, augmentation, classes, part, None, QUIET))
    choice = plans.choose_precision(settings, network, next(iter(batches.epoch(0))), None)
    plan: Plan = plans.make_plan(settings, network, augmentation, len(batches), choice, validated=False)
    epoch = iter(range(10**6))

    def one_pass() -> float:
        started = time.perf_counter()
        _train_epoch(network, plan, batches, next(epoch))
        return len(part.samples) / (time.perf_counter() - started)

    return one_pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    demo = read_demo("demo:elpv")
    samples = [demo.samples[i] for i in np.linspace(0, len(demo.samples) - 1, args.images).astype(int)]
    part = Part(samples, [sha256_file(sample.path) for sample in samples], np.arange(len(samples)))
    labels = part.labels(demo.classes)
    with ExitStack() as stack:
        ways = {
            "kept": ours(part, demo.classes, "auto", stack),
            "upper": plain(part, labels, upper_only=True),
            "streamed": ours(part, demo.classes, "none", stack),
            "whole": plain(part, labels, upper_only=False),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(args.rounds):
            for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
                found[name].append(ways[name]())
    rates = {name: round(statistics.median(values), 1) for name, values in found.items()}
    ratios = {"kept / upper": round(rates["kept"] / rates["upper"], 2), "streamed / whole": round(rates["streamed"] / rates["whole"], 2)}
    print(json.dumps({"images": args.images, "rounds": args.rounds, "images_per_second": rates, "ratio": ratios}))


if __name__ == "__main__":
    main()
