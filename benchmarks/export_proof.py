"""Prove exports on every image of the demo: ONNX and OpenVINO in fp32 against an independent forward in torch.

    python benchmarks/export_proof.py [RUN]

Without a RUN one is trained on `demo:elpv` first. All 2,624 images are compared, labels are not looked at. About 4 minutes on two cores
for a probe on Lite0. The rule is that of `seefit export`: no probability off by more than 0.001. Prints a table and one JSON
line; ends with 1 when an image is off or gone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import load
from seefit.console import Console
from seefit.data.dataset import Sample
from seefit.data.splitfile import read_split
from seefit.deploy.finished import Finished, open_finished
from seefit.deploy.independent import Independent
from seefit.deploy.onnx_file import write_onnx_export
from seefit.deploy.openvino_ir import write_openvino_export
from seefit.deploy.proof import TOLERANCE, Answer, compare
from seefit.parts import Part
from serving_client import run_of


def everything(finished: Finished) -> Part:
    """Return all images of a run, those of its test part too, without their labels."""
    rows = read_split(finished.run / "split.csv")
    samples = [Sample(finished.root / row.path, row.path, None) for row in rows]
    return Part(samples, [row.sha256 for row in rows], np.arange(len(rows)))


def kept(answer: Answer) -> Iterator[Answer]:
    """Yield a way to answer, then for the same images in the same order what it said: torch is asked once."""
    said: list[NDArray[Any]] = []

    def first(images: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
        said.append(answer(images))
        return said[-1]

    yield first
    rest = iter(said)
    yield lambda images: next(rest)


def prove(run: Path, place: Path) -> dict[str, Any]:
    """Return what the proof of each format found."""
    finished, found = open_finished(run), {}
    independent, part = Independent(finished), everything(finished)
    answers = kept(independent.probabilities)
    print(f"{'format':<10}{'images':>8}{'odd ones':>10}{'largest difference':>20}{'beyond ' + str(TOLERANCE):>14}", file=sys.stderr)
    for kind, write in {"onnx": write_onnx_export, "openvino": write_openvino_export}.items():
        (place / kind).mkdir()
        write(finished, place / kind)
        answer = load(place / kind).reference.probabilities
        limit = finished.settings.max_pixels
        proof = compare(part, "all", answer, next(answers), max_pixels=limit, console=Console())
        print(f"{kind:<10}{proof.images:>8,}{proof.golden:>10}{proof.largest:>20.2e}{len(proof.off):>14}", file=sys.stderr)
        found[kind] = {"images": proof.images, "odd": proof.golden, "largest": proof.largest, "off": len(proof.off), "gone": proof.gone}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    with run_of(parser.parse_args().run) as run, tempfile.TemporaryDirectory() as folder:
        found = prove(run, Path(folder))
    print(json.dumps(found))
    sys.exit(any(one["off"] or one["gone"] for one in found.values()))


if __name__ == "__main__":
    main()
