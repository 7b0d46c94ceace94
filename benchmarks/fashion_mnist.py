"""Write a part of Fashion-MNIST (Debian's package `dataset-fashion-mnist`) as class folders that any tool can read.

    python benchmarks/fashion_mnist.py FOLDER [--source /usr/share/datasets/fashion-mnist] [--train 600] [--test 100]

The first so many images of each class, as PNG, in FOLDER/train/<class>/ and FOLDER/test/<class>/.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file: two zero bytes, type, number of dimensions, sizes, uint8 values."""
    data = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)


def write(source: Path, prefix: str, folder: Path, count: int) -> None:
    """Write the first ``count`` images of each class."""
    images, labels = (read_idx(source / f"{prefix}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    for number, name in enumerate(CLASSES):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for i in np.flatnonzero(labels == number)[:count]:
            Image.fromarray(images[i]).save(target / f"{i:05}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--train", type=int, default=600)
    parser.add_argument("--test", type=int, default=100)
    args = parser.parse_args()
    write(args.source, "train", args.folder / "train", args.train)
    write(args.source, "t10k", args.folder / "test", args.test)


if __name__ == "__main__":
    main()
