"""Writing files so that nothing under its final name is ever partial."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seefit.environment import is_alive
from seefit.errors import ResourceError, SeefitError

_UNDECODED = re.compile("[\ud800-\udfff]")  # how Python keeps the bytes of a file name that is no text
_LEFTOVER = re.compile(r"\..+\.\d+-\d+\.part")  # the temporary name in `atomic_path`


def resource_error(error: OSError, path: Path, needed_bytes: int | None = None) -> SeefitError:
    """Turn an ``OSError`` of a write into the error that names the file, the need and the free space."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        existing = next((p for p in [path, *path.parents] if p.exists()), Path("/"))
        free = shutil.disk_usage(existing).free
        need = f"{needed_bytes:,} bytes of free space" if needed_bytes else "free space"
        return ResourceError(
            "The disk is full", where=path, expected=need, got=f"{free:,} bytes free", hint="Free some space and run the same command again"
        )
    return ResourceError(
        "Cannot write",
        where=path,
        expected="a place that can be written to",
        got=error.strerror or str(error),
        hint="Choose another place with --out, or change the permissions of the folder",
    )


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name when the block ends well.

    The file is flushed to disk before the rename, so that after a crash or a full disk the old content or
    the new is there, never a part.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise resource_error(error, path, _remove(temporary)) from error
    except BaseException:
        _remove(temporary)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path`` that takes its name when the block ends well: all of it is there, or nothing.

    What killed processes left of such a folder is removed first.

    Args:
        path: The folder; nothing, or an empty folder, may be there.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    for left in path.parent.glob(f".{path.name}.*.partial"):
        number = left.name.removesuffix(".partial").rpartition(".")[2]
        if number.isdecimal() and not is_alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise resource_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_leftover(name: str) -> bool:
    """Return whether a file name is the temporary one of `atomic_path`: what a killed process left unfinished."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left unfinished below a folder that nobody else writes to."""
    for path in folder.rglob(".*.part"):
        if is_leftover(path.name):
            path.unlink(missing_ok=True)


def _remove(temporary: Path) -> int | None:
    """Remove what was written so far and return its size in bytes, None when there is nothing or it cannot be seen."""
    with contextlib.suppress(OSError):
        size = temporary.stat().st_size
        temporary.unlink()
        return size
    return None


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise resource_error(error, path, len(data)) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically and with Unix line ends."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def finite(value: Any) -> Any:
    """Return ``value`` with every NaN or infinity inside it replaced by ``None``, since JSON has neither."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: Any) -> str:
    """Return ``value`` as JSON text: UTF-8, two spaces, no NaN; bytes of odd file names become U+FFFD."""
    text = json.dumps(finite(value), ensure_ascii=False, indent=2, allow_nan=False)
    return _UNDECODED.sub("\ufffd", text)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
