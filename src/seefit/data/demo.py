"""The demo sets: real photographs of solar cells, from a package that is installed beside seefit.

ELPV: 2,624 electroluminescence images of solar cells, cut from 44 photovoltaic modules, each with the probability
that experts gave for a defect. Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective Solar Cells
in Electroluminescence Imagery", EU PVSEC 2018; Deitsch et al., Solar Energy 185 (2019). CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from seefit.data.dataset import Dataset, Sample
from seefit.errors import ResourceError, unknown_name

DEMO_SETS = ("elpv", "elpv-mono")
CLASSES = ("defective", "functional")
CELLS_PER_GROUP = 60
_GROUP_NOTE = (
    f"Groups are blocks of {CELLS_PER_GROUP} cells of one type, an approximation of the 44 modules the cells were cut from: "
    "the set does not say which module a cell belongs to."
)


class Cell(NamedTuple):
    """One row of the ELPV table.

    Attributes:
        name: Path relative to the data folder: ``images/cell0001.png``.
        p: Probability of a defect as the raters gave it: 0, 1/3, 2/3 or 1.
        type: ``mono`` or ``poly``, the crystal of the cell.
        group: Block of 60 cells within each run of equal type, an approximation of the module.
    """

    name: str
    p: float
    type: str
    group: str


def elpv_table() -> list[Cell]:
    """Return all 2,624 cells in the order of the published table.

    Raises:
        ResourceError: The package ``elpv-dataset`` is not installed.
    """
    cells: list[Cell] = []
    blocks, in_block, last = 0, 0, ""
    for line in (_elpv_folder() / "labels.csv").read_text("utf-8").splitlines():
        name, p, kind = line.split()
        if kind != last or in_block == CELLS_PER_GROUP:
            blocks, in_block, last = blocks + 1, 0, kind
        in_block += 1
        cells.append(Cell(name, float(p), kind, f"block-{blocks:02}"))
    return cells


def read_demo(source: str) -> Dataset:
    """Return a demo set: ``demo:elpv``, or ``demo:elpv-mono`` with the monocrystalline cells alone.

    A cell is ``defective`` if its probability is over one half, else ``functional``; the probability is its soft target,
    and its weight is 1 where the raters were sure, else the probability itself (1/3 or 2/3), as in the paper.

    Args:
        source: ``demo:`` and the name.

    Raises:
        UsageError: There is no demo set of this name.
        ResourceError: The package ``elpv-dataset`` is not installed.
    """
    name = source.removeprefix("demo:")
    if name not in DEMO_SETS:
        unknown_name("demo set", name, DEMO_SETS)
    root = _elpv_folder()
    samples = [_sample(root, cell) for cell in elpv_table() if name == "elpv" or cell.type == "mono"]
    return Dataset(source, root, samples, CLASSES, notes=[_GROUP_NOTE])


def _sample(root: Path, cell: Cell) -> Sample:
    label = CLASSES[0] if cell.p > 0.5 else CLASSES[1]
    weight = cell.p if 0 < cell.p < 1 else 1.0
    return Sample(root / cell.name, cell.name, label, group=cell.group, weight=weight, target=(cell.p, 1 - cell.p))


def _elpv_folder() -> Path:
    """Find the data without importing the package, whose loader would decode every image."""
    spec = importlib.util.find_spec("elpv_dataset")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "data" / "labels.csv").is_file():
            return Path(place) / "data"
    raise ResourceError(
        "The demo images are not installed",
        where="demo:elpv",
        expected="the package elpv-dataset",
        got="no such package",
        hint="Run `pip install 'seefit[demo]'`",
    )
