"""Which features are the better default: late maps pooled (mean and maximum), or the backbone's own pooled output?

    python benchmarks/feature_choice.py DATA [DATA ...] --backbones lite0,lite1,lite2

Five folds inside the training part (the part that `seefit train DATA` would train on); no test part is read. Prints a
row per data set, backbone and choice: figures of the out-of-fold scores with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from seefit.bundle.box import choose_fit
from seefit.data.scan import scan
from seefit.data.sources import read_dataset
from seefit.data.split import make_split
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.metrics import judge
from seefit.models.backbone import load_backbone
from seefit.training.features import FeatureExtractor, choose_parts
from seefit.training.head import fit_head


def compare(data: str, backbones: list[str]) -> None:
    """Print the rows of one data set."""
    dataset = read_dataset(data)
    seen = scan(dataset)
    split = make_split(seen.samples, seen.sha256, seen.clusters)
    index = split.index("train")
    samples, digests = [seen.samples[i] for i in index], [seen.sha256[i] for i in index]
    position = {name: i for i, name in enumerate(dataset.classes)}
    labels = np.array([position[sample.label or ""] for sample in samples])
    fit = choose_fit(seen.sizes[index])[0]
    for name in backbones:
        backbone = load_backbone(name)
        maps = [stage.name for stage in backbone.stages if stage.side]
        choices = {"pooled": choose_parts(backbone, "pooled"), **{f"last {n}": tuple(maps[-n:]) for n in range(1, len(maps) + 1)}}
        for choice, parts in choices.items():
            extractor = FeatureExtractor(backbone, parts, fit)
            head = fit_head(
                extractor.extract(samples, digests),
                np.eye(len(dataset.classes), dtype=np.float32)[labels],
                weights=np.array([sample.weight for sample in samples]),
                units=np.asarray(split.units)[index],
            )
            found = judge(softmax(head.fold_logits), labels[head.fold_rows], dataset.classes).to_json()
            row = {
                key: [round(found[key][end], 4) for end in ("value", "low", "high")]
                for key in ("accuracy", "balanced_accuracy", "auc", "nll")
            }
            print(json.dumps({"data": data, "backbone": name, "choice": choice, "features": extractor.width, **row}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=["demo:elpv"])
    parser.add_argument("--backbones", default="lite0,lite1,lite2")
    args = parser.parse_args()
    for data in args.data:
        compare(data, args.backbones.split(","))


if __name__ == "__main__":
    main()
