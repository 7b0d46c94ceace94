"""Checkpoints of a training run: tensors in safetensors, the rest in JSON, never pickle.

A checkpoint ``last`` is two files: ``last.json``, the record, and ``last-<start of its sha256>.safetensors``, the tensors. The
tensors are written first, under a name of their own, and the record last, in one rename. So a kill at any moment leaves either the
checkpoint before or the new one, whole. What the old record named is removed after that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.errors import ArtefactError, RunError, unknown_name
from seefit.files import resource_error, to_json, write_bytes, write_text

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

FORMAT = 1
LAST, BEST = "last", "best"
HIGHER_IS_BETTER = {"loss": False, "accuracy": True, "balanced_accuracy": True}

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HASH = re.compile(r"[0-9a-f]{64}")


def epoch_name(epoch: int) -> str:
    """Return the name of the checkpoint that is kept of an epoch, counted from 1: ``epoch-012``."""
    return f"epoch-{epoch:03d}"


def due_names(epoch: int, *, every: int, is_best: bool) -> list[str]:
    """Return the names under which the state after an epoch is to be saved.

    Args:
        epoch: Counted from 1.
        every: Also keep every n-th epoch under its own name; 0 keeps none.
        is_best: Whether this epoch is the best so far, from `is_better`.
    """
    names = [epoch_name(epoch)] if every and epoch % every == 0 else []
    return [*names, *([BEST] if is_best else []), LAST]


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Say whether a value of a validation metric is better than the best before; the first always is, NaN never.

    Args:
        metric: One of `HIGHER_IS_BETTER`.
        value: After this epoch.
        best: Before it, None when there is none.

    Raises:
        UsageError: An unknown metric.
    """
    if metric not in HIGHER_IS_BETTER:
        unknown_name("validation metric", metric, HIGHER_IS_BETTER)
    if math.isnan(value):
        return False
    return best is None or (value > best if HIGHER_IS_BETTER[metric] else value < best)


def save_checkpoint(folder: Path, name: str, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Save a checkpoint atomically in place of the one of the same name.

    Args:
        folder: Made when it is not there. One process at a time may write to it.
        name: ``last``, ``best`` or what `epoch_name` gives: small letters and digits, parted by hyphens.
        tensors: By name, of any shape and device.
        record: What JSON can hold: epoch, loss, validation loss, metric …; NaN and infinity become null.

    Raises:
        ResourceError: The disk is full or the place cannot be written to; the checkpoint before is still there.
        ValueError: The name is not a plain one.
    """
    from safetensors.torch import save

    if not _NAME.fullmatch(name):
        raise ValueError(f"not a name for a checkpoint: {name!r}")
    data = save({key: _plain(tensor) for key, tensor in tensors.items()})
    sha256 = hashlib.sha256(data).hexdigest()
    kept = json.loads(to_json(dict(record)))
    _make_folder(folder)
    write_bytes(_tensor_file(folder, name, sha256), data)
    head = {"format": FORMAT, "sha256": sha256, "record_sha256": _record_hash(kept), "record": kept}
    write_text(folder / f"{name}.json", to_json(head) + "\n")
    _remove_stale(folder, name, sha256)


def load_checkpoint(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load a checkpoint after checking every byte of it.

    Args:
        folder: As in `save_checkpoint`.
        name: As in `save_checkpoint`.

    Returns:
        The tensors by name, on the processor, and the record.

    Raises:
        RunError: There is no checkpoint of that name.
        ArtefactError: It is damaged, of another program or of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    sha256, record = _read_head(folder, name)
    path = _tensor_file(folder, name, sha256)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, "the tensors of the checkpoint", error.strerror or str(error)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise _damaged(path, f"content with the sha256 {sha256[:16]}…", f"{found[:16]}…, {len(data):,} bytes")
    try:
        return load(data), record
    except SafetensorError as error:
        raise _damaged(path, "a safetensors file", str(error)) from error


def checkpoint_names(folder: Path) -> list[str]:
    """Return the names of the checkpoints in a folder, in order; none when there is no such folder."""
    return sorted(path.stem for path in folder.glob("*.json") if _NAME.fullmatch(path.stem)) if folder.is_dir() else []


def clear_strays(folder: Path) -> None:
    """Remove what a killed save left: tensors that no record names any more, and half-written files of checkpoints that are there.

    Args:
        folder: As in `save_checkpoint`, whose next call would do it; after the last epoch there is none.

    Raises:
        ArtefactError: A record is damaged.
    """
    for name in checkpoint_names(folder):
        _remove_stale(folder, name, _read_head(folder, name)[0])


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as tensors, under ``<kind>.<name of the parameter>``: ``exp_avg.head.weight``.

    Args:
        optimiser: From `seefit.training.optimisers.make_optimiser`, whose parameters have names.
    """
    import torch

    return {
        f"{kind}.{name}": torch.as_tensor(value)
        for name, parameter in _named_parameters(optimiser).items()
        for kind, value in optimiser.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `optimiser_tensors` took; rates and weight decays stay as they are.

    Args:
        optimiser: A new one of the same kind, over parameters of the same names and shapes.
        tensors: What `optimiser_tensors` gave, and nothing else.

    Raises:
        ArtefactError: The state belongs to other parameters.
    """
    import torch

    parameters = _named_parameters(optimiser)
    state: dict[str, dict[str, Tensor]] = {name: {} for name in parameters}
    for key, tensor in tensors.items():
        kind, _, name = key.partition(".")
        if name not in parameters:
            raise _foreign(name, "a parameter of this network", "an unknown name")
        parameter = parameters[name]
        if tensor.shape not in {torch.Size([]), parameter.shape}:
            raise _foreign(name, f"shape {tuple(parameter.shape)}", f"{tuple(tensor.shape)}")
        state[name][kind] = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor) if tensor.ndim else tensor.clone()
    for name, slots in state.items():
        if slots:
            optimiser.state[parameters[name]] = slots


def _named_parameters(optimiser: Optimizer) -> dict[str, Tensor]:
    return {
        name: parameter for group in optimiser.param_groups for name, parameter in zip(group["param_names"], group["params"], strict=True)
    }


def _plain(tensor: Tensor) -> Tensor:
    """Return a tensor that shares its memory with no other, on the processor, rows in order: what safetensors takes."""
    import torch

    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, folder) from error


def _tensor_file(folder: Path, name: str, sha256: str) -> Path:
    return folder / f"{name}-{sha256[:16]}.safetensors"


def _record_hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _remove_stale(folder: Path, name: str, sha256: str) -> None:
    """Remove tensors that no record names any more, and what killed writes of this checkpoint left behind."""
    kept = _tensor_file(folder, name, sha256).name
    stale = re.compile(rf"{name}-[0-9a-f]{{16}}\.safetensors|\.{name}(?:-[0-9a-f]{{16}}\.safetensors|\.json)\.[\d-]+\.part")
    for path in folder.iterdir():
        if path.name != kept and stale.fullmatch(path.name):
            with contextlib.suppress(OSError):  # it only takes room, and the next checkpoint tries again
                path.unlink()


def _read_head(folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    """Return the sha256 of the tensors and the record, after checking the record's form and hash."""
    path = folder / f"{name}.json"
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(folder, name) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, "a record in JSON", str(error).splitlines()[0]) from error
    number = head.get("format") if isinstance(head, dict) else None
    if type(number) is not int or number < 1:
        raise _damaged(path, "the record of a checkpoint", "something else")
    if number > FORMAT:
        raise _newer(path, number)
    sha256, record = head.get("sha256"), head.get("record")
    if not (isinstance(sha256, str) and _HASH.fullmatch(sha256) and isinstance(record, dict)):
        raise _damaged(path, "a record with the sha256 of its tensors", "something else")
    if _record_hash(record) != head.get("record_sha256"):
        raise _damaged(path, "the record as it was written", "one that was changed")
    return sha256, record


def _missing(folder: Path, name: str) -> RunError:
    there = ", ".join(checkpoint_names(folder)) or "no checkpoint"
    return RunError("There is no such checkpoint", where=folder, expected=repr(name), got=there, hint="Train the run again")


def _damaged(path: Path, expected: str, got: str) -> ArtefactError:
    hint = "Remove this checkpoint and resume from another, or train the run again"
    return ArtefactError("The checkpoint is damaged", where=path, expected=expected, got=got, hint=hint)


def _newer(path: Path, number: int) -> ArtefactError:
    return ArtefactError(
        "The checkpoint is of a newer format",
        where=path,
        expected=f"format {FORMAT} or older",
        got=f"format {number}",
        hint="Run `pip install --upgrade seefit`",
    )


def _foreign(name: str, expected: str, got: str) -> ArtefactError:
    return ArtefactError(
        "The checkpoint does not fit the network",
        where=f"the optimiser's state of {name}",
        expected=expected,
        got=got,
        hint="Resume the run with the settings it was started with, or train it again",
    )
