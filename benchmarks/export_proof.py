"""Prove exports on every image of the demo: ONNX and OpenVINO in fp32 against an independent forward in torch.

    python benchmarks/export_proof.py [RUN]

Without a RUN it trains one on `demo:elpv` first. All 2,624 images are compared, labels are not looked at. About 4 minutes on two cores
for a probe on Lite0. The rule is that of `seefit export`: no probability off by more than 0.001.
"""

from __future__ import annotations

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
from seefit.pipeline import train
from seefit.settings import make_settings


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


def main(run: Path, place: Path) -> bool:
    finished = open_finished(run)
    independent, part, good = Independent(finished), everything(finished), True
    answers = kept(independent.probabilities)
    writers = {"onnx": write_onnx_export, "openvino": write_openvino_export}
    print(f"{'format':<10}{'images':>8}{'odd ones':>10}{'largest difference':>20}{'beyond ' + str(TOLERANCE):>14}")
    for kind, write in writers.items():
        (place / kind).mkdir()
        write(finished, place / kind)
        answer = load(place / kind).reference.probabilities
        limit = finished.settings.max_pixels
        proof = compare(part, "all", answer, next(answers), max_pixels=limit, console=Console())
        print(f"{kind:<10}{proof.images:>8,}{proof.golden:>10}{proof.largest:>20.2e}{len(proof.off):>14}")
        good = good and not proof.off and not proof.gone
    return good


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else train(make_settings({"data": "demo:elpv"}), out=Path(folder, "run")).path
        sys.exit(0 if main(given, Path(folder)) else 1)
