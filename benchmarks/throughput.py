"""Images per second from file to features: seefit's engines against torch eager as tutorials do it, in turn, in one run.

    python benchmarks/throughput.py [--images 1000] [--rounds 3] [--backbone lite0]

Both sides decode the same photographs, resize them to the same size and run the same frozen network. Eager: torchvision
transforms in a DataLoader with two workers, channels first, batches of 32, no gradients. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision import transforms

from seefit.bundle.runtime import Reference
from seefit.data.demo import read_demo
from seefit.data.image import MAX_PIXELS
from seefit.files import sha256_file
from seefit.models.backbone import Backbone, create, load_backbone
from seefit.models.weights import find_weights
from seefit.training.engine import Engine, frozen_forward
from seefit.training.features import FeatureExtractor, choose_parts


class Photographs(torch.utils.data.Dataset[Any]):
    """What a tutorial's loader reads."""

    def __init__(self, paths: Sequence[Path], backbone: Backbone) -> None:
        self.paths = paths
        size = (backbone.image_size, backbone.image_size)
        self.transform = transforms.Compose(
            [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize(list(backbone.mean), list(backbone.std))]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Any:
        return self.transform(Image.open(self.paths[i]).convert("RGB"))


def eager(paths: Sequence[Path], backbone: Backbone) -> Callable[[], None]:
    """Return what runs the images once through torch eager."""
    model: Any = create(backbone.name, find_weights(backbone.name))
    loader = torch.utils.data.DataLoader(Photographs(paths, backbone), batch_size=32, num_workers=2)

    def run() -> None:
        with torch.no_grad():
            for batch in loader:
                model.forward_head(model.forward_features(batch), pre_logits=True)

    return run


def ours(samples: Sequence[Any], digests: Sequence[str], reference: Reference, engine: Engine) -> Callable[[], None]:
    """Return what runs the images once through one of seefit's engines."""

    def run() -> None:
        for _ in frozen_forward(samples, digests, reference, engine, max_pixels=MAX_PIXELS):
            pass

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="lite0")
    args = parser.parse_args()
    demo = read_demo("demo:elpv")
    samples = demo.samples[:: max(1, len(demo) // args.images)][: args.images]
    digests = [sha256_file(sample.path) for sample in samples]
    backbone = load_backbone(args.backbone)
    extractor = FeatureExtractor(backbone, choose_parts(backbone, "auto"), "crop")
    ways = {
        "torch eager": eager([sample.path for sample in samples], backbone),
        extractor.reference.name: ours(samples, digests, extractor.reference, extractor.reference),
        extractor.engine.name: ours(samples, digests, extractor.reference, extractor.engine),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            rates[name].append(len(samples) / (time.perf_counter() - start))
    median = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    ratios = {
        name: round(statistics.median(a / b for a, b in zip(values, rates["torch eager"], strict=True)), 2)
        for name, values in rates.items()
    }
    print(json.dumps({"images": len(samples), "images_per_second": median, "times_torch_eager": ratios, "rounds": args.rounds}))


if __name__ == "__main__":
    main()
