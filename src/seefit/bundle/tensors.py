"""What a safetensors file of a bundle holds, told from its header alone: nothing else is read of a file that is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seefit.bundle.manifest import damaged

MAX_HEADER_BYTES = 2**16  # ours take some hundred
Shape = Sequence[int | None]  # None stands for any number
_KINDS = {"F32": "float32", "F16": "float16", "I64": "int64", "U8": "uint8"}


def check_tensors(path: Path, expected: Mapping[str, tuple[str, Shape]]) -> dict[str, tuple[int, ...]]:
    """Check names, types and shapes in a safetensors file.

    Args:
        path: The file.
        expected: Per name the type as safetensors writes it (``F32``, ``U8`` …) and the shape.

    Returns:
        The shapes that are there.

    Raises:
        ArtefactError: The header is too long or unreadable, or says something else.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise damaged(path, f"a header of at most {MAX_HEADER_BYTES:,} bytes", f"{length:,}")
    try:
        with safe_open(path, framework="numpy") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            found = {name: (str(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise damaged(path, "a readable safetensors file", str(error)) from error
    fits = {name: name in found and found[name][0] == kind and _fits(found[name][1], shape) for name, (kind, shape) in expected.items()}
    if found.keys() != expected.keys() or not all(fits.values()):
        raise damaged(path, _shown(expected), _shown(found))
    return {name: shape for name, (_, shape) in found.items()}


def _fits(found: Sequence[int], shape: Shape) -> bool:
    return len(found) == len(shape) and all(number in {None, there} for there, number in zip(found, shape, strict=True))


def _shown(tensors: Mapping[str, tuple[str, Shape]]) -> str:
    def written(kind: str, shape: Shape) -> str:
        return f"{_KINDS.get(kind, kind)} {str(tuple(shape)).replace('None', 'any')}"

    return ", ".join(f"{name} {written(*tensor)}" for name, tensor in sorted(tensors.items()))[:200] or "nothing"
