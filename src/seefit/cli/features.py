"""``seefit features``: the features of all images in a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.console import Console
from seefit.data.scan import check_usable, scan
from seefit.data.sources import read_dataset
from seefit.errors import ResourceError, UsageError
from seefit.files import atomic_path, to_json
from seefit.fitting import check_model, open_extractor
from seefit.settings import make_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seefit.data.scan import Scan

SUFFIXES = (".npz", ".parquet")


def features(given: dict[str, Any], *, out: Path, json_output: bool, console: Console) -> int:
    """Compute (or find kept) the features of all usable images and write them to a file.

    Args:
        given: Settings given by hand, as for ``train``.
        out: ``.npz`` (arrays ``features`` (N, D) float32, ``path``, ``label``, ``sha256``) or ``.parquet`` (columns
            ``path``, ``label``, ``sha256``, ``features``).
        json_output: Print ``{"out", "images", "features", "shape"}`` on stdout.
        console: Where progress is shown.
    """
    if out.suffix not in SUFFIXES:
        raise UsageError(
            "Unknown file type",
            where=out,
            expected=" or ".join(SUFFIXES),
            got=repr(out.suffix),
            hint="Name a file that ends in .npz or .parquet",
        )
    settings = make_settings(given)
    check_model(settings)
    reading = settings.model_dump(include={"labels", "root", "follow_links", "sha256"})
    dataset = read_dataset(settings.data, **reading, console=console)
    seen = scan(dataset, max_pixels=settings.max_pixels, console=console)
    check_usable(seen, dataset, parts=1, max_skipped=settings.max_skipped, allow_leak=True)
    extractor = open_extractor(settings, seen.sizes, console=console)
    matrix = extractor.extract(seen.samples, seen.sha256, console=console)
    with atomic_path(out) as temporary:
        _write_npz(temporary, seen, matrix) if out.suffix == ".npz" else _write_parquet(temporary, seen, matrix)
    facts = {
        "out": str(out),
        "images": len(matrix),
        "features": list(extractor.parts),
        "shape": list(matrix.shape),
        "engine": extractor.engine.name,
    }
    print(
        to_json(facts) if json_output else f"{len(matrix):,} images x {matrix.shape[1]:,} features ({', '.join(extractor.parts)}) in {out}"
    )
    return 0


def _write_npz(path: Path, seen: Scan, matrix: NDArray[np.float32]) -> None:
    paths, labels = ([getattr(sample, name) or "" for sample in seen.samples] for name in ("name", "label"))
    with open(path, "wb") as handle:
        np.savez(
            handle, features=matrix, path=np.array(paths, np.str_), label=np.array(labels, np.str_), sha256=np.array(seen.sha256, np.str_)
        )


def _write_parquet(path: Path, seen: Scan, matrix: NDArray[np.float32]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ResourceError(
            "Cannot write Parquet",
            where=path,
            expected="the package pyarrow",
            got="none",
            hint="Run `pip install 'seefit[parquet]'`, or use .npz",
        ) from error
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    columns = {
        "path": [sample.name for sample in seen.samples],
        "label": [sample.label for sample in seen.samples],
        "sha256": seen.sha256,
    }
    pq.write_table(pa.table({**columns, "features": vectors}), path)
