"""``seefit cache``: what the cache folder holds, and emptying it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from seefit.console import printable
from seefit.environment import abandoned_folders, cache_folder
from seefit.files import resource_error, to_json
from seefit.store import Store

STORES = ("features", "scan")
FOLDERS = ("backbones", "weights", "downloads", "matplotlib")
IN_USE = ("fitted", "tuned")  # a folder per classifier or fine-tuned network that is in use; those of killed processes stay behind


def cache(*, clear: bool, json_output: bool) -> int:
    """Show each part of the cache folder with its size, or empty it.

    Args:
        clear: Empty it.
        json_output: Print one JSON object on stdout.
    """
    root = cache_folder()
    if clear:
        _clear(root)
    record = {"folder": str(root), "features": _shelves(root), "parts": {name: _size(root / name) for name in (*STORES, *FOLDERS, *IN_USE)}}
    if json_output:
        print(to_json(record))
    else:
        _print(record)
    return 0


def _shelves(root: Path) -> list[dict[str, Any]]:
    if not (root / "features").is_dir():
        return []
    with Store(root / "features") as store:
        found = store.shelves()
    return sorted(
        ({**entry["about"], **{k: entry[k] for k in ("entries", "bytes", "used")}} for entry in found.values() if entry["about"]),
        key=lambda e: -e["used"],
    )


def _clear(root: Path) -> None:
    """Empty the stores in place, since other processes may have them open, and remove the folders; what is in use stays."""
    for name in STORES:
        if (root / name).is_dir():
            with Store(root / name) as store:
                store.clear()
    for folder in [*(root / name for name in FOLDERS), *(left for part in IN_USE for left in abandoned_folders(part))]:
        try:
            shutil.rmtree(folder, ignore_errors=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise resource_error(error, folder) from error


def _size(folder: Path) -> int:
    files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else []
    return sum(getattr(file.stat(), "st_blocks", 0) * 512 or file.stat().st_size for file in files)


def _print(record: dict[str, Any]) -> None:
    print(f"{record['folder']}  (SEEFIT_CACHE moves it)")
    for name, size in record["parts"].items():
        print(f"  {name:<12} {size / 2**20:>10,.1f} MiB")
    for shelf in record["features"]:
        used = time.strftime("%Y-%m-%d", time.localtime(shelf["used"]))
        what = f"{shelf['backbone']} at {shelf['image_size']} px, {shelf['fit']}, {shelf['engine']}"
        print(f"  {shelf['entries']:>9,} images  {shelf['bytes'] / 2**20:>8,.1f} MiB  {printable(what)}, last used {used}")
