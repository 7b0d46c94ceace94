"""What a safetensors file holds is told from its header alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from seefit.bundle.tensors import check_tensors
from seefit.errors import ArtefactError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    save_file({"points": np.zeros((3, 2), np.float16), "names": np.zeros(5, np.uint8)}, path)
    return path


def test_shapes_are_told(file: Path) -> None:
    assert check_tensors(file, {"points": ("F16", (None, 2)), "names": ("U8", (None,))}) == {"points": (3, 2), "names": (5,)}


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ({"points": ("F16", (None, 2))}, "points float16 (any, 2)"),
        ({"points": ("F16", (None, 3)), "names": ("U8", (None,))}, "names uint8 (any,), points float16 (any, 3)"),
        ({"points": ("F32", (3, 2)), "names": ("U8", (5,))}, "names uint8 (5,), points float32 (3, 2)"),
        ({"points": ("F16", (6,)), "names": ("U8", (5,))}, "names uint8 (5,), points float16 (6,)"),
    ],
)
def test_anything_else_is_refused(file: Path, expected: dict[str, tuple[str, tuple[int | None, ...]]], said: str) -> None:
    with pytest.raises(ArtefactError) as caught:
        check_tensors(file, expected)
    found = f"Expected {said}, got names uint8 (5,), points float16 (3, 2)."
    assert caught.value.message == f"The bundle is damaged: {file}. {found}"


def test_a_header_without_end_is_not_read(file: Path) -> None:
    file.write_bytes((2**40).to_bytes(8, "little"))
    with pytest.raises(ArtefactError, match=r"Expected a header of at most 65,536 bytes, got 1,099,511,627,776\."):
        check_tensors(file, {})
