"""What the environment says: the cache folder, the number of threads, whether hubs may be asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import TypeVar

from seefit.errors import ResourceError, UsageError

T = TypeVar("T")
PASSING = "tuned"  # below the cache folder: networks with weights of their own, such as trained ones, as ONNX


def cache_folder(*parts: str) -> Path:
    """Return (and create) a folder below the cache folder.

    ``SEEFIT_CACHE`` names the cache folder; without it the user's own cache folder is used
    (``$XDG_CACHE_HOME/seefit`` or ``~/.cache/seefit`` on Linux).

    Raises:
        ResourceError: The folder cannot be created.
    """
    root = os.environ.get("SEEFIT_CACHE")
    if not root:
        import platformdirs

        root = platformdirs.user_cache_dir("seefit", appauthor=False)
    folder = Path(root, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            "Cannot create the cache folder",
            where=folder,
            expected="a writable place",
            got=error.strerror or str(error),
            hint="Set SEEFIT_CACHE to a folder that you may write to",
        ) from error
    return folder


def threads() -> int:
    """Return how many threads seefit may use: ``SEEFIT_THREADS``, else the processors this process may run on.

    Raises:
        UsageError: ``SEEFIT_THREADS`` is not a positive whole number.
    """
    text = os.environ.get("SEEFIT_THREADS")
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(
            "Bad environment variable",
            where="SEEFIT_THREADS",
            expected="a whole number of at least 1",
            got=repr(text),
            hint="Unset SEEFIT_THREADS or set it to the number of threads",
        )
    return int(text)


def offline() -> bool:
    """Return whether ``HF_HUB_OFFLINE`` forbids every look at a model hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "on", "yes", "true"}


def own_folder(part: str) -> Path:
    """Return a new folder below a part of the cache folder; its name starts with the number of this process.

    Raises:
        ResourceError: The cache folder cannot be created.
    """
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=cache_folder(part)))


def abandoned_folders(part: str) -> list[Path]:
    """Return what `own_folder` made for processes that have ended since, for example because they were killed."""
    place = cache_folder() / part
    numbered = ((folder, folder.name.partition("-")[0]) for folder in (place.iterdir() if place.is_dir() else ()))
    return sorted(folder for folder, number in numbered if number.isdecimal() and not is_alive(int(number)))


def passing_folder() -> Path:
    """Return a new folder below the cache folder for what lasts no longer than this process; what killed ones left goes first.

    Raises:
        ResourceError: The cache folder cannot be created.
    """
    for left in abandoned_folders(PASSING):
        shutil.rmtree(left, ignore_errors=True)
    return own_folder(PASSING)


def gone_with(holder: T, folder: Path) -> T:
    """Return what needs a folder; the folder goes when nothing holds that any more."""
    weakref.finalize(holder, shutil.rmtree, folder, ignore_errors=True)
    return holder


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def started(pid: int) -> str | None:
    """Return when a process was started, as the system writes it; None where it does not tell.

    Numbers of processes are used again: number and start together tell a process from all others. On Linux the start is the 22nd field of
    ``/proc/<pid>/stat`` (man 5 proc), in clock ticks; elsewhere ``ps`` is asked.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # the name before it may hold anything
        return fields[19].decode()
    except (OSError, IndexError):
        return _started_by_ps(pid)


def _started_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=1, check=False, env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.SubprocessError):
        return None
    return " ".join(answer.stdout.split()) or None
