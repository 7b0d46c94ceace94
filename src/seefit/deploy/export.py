"""A finished run as what others can run: written beside its final place, proven there, and only then given its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from seefit.bundle.bundle import load
from seefit.console import QUIET, Console
from seefit.deploy.finished import Finished, open_finished
from seefit.deploy.hub_layout import HubAnswer, push_folder, write_hub_export
from seefit.deploy.independent import Independent
from seefit.deploy.instructions import write_instructions
from seefit.deploy.int8 import MAX_DROP, write_int8_export
from seefit.deploy.onnx_file import seal, write_onnx_export
from seefit.deploy.openvino_ir import write_openvino_export
from seefit.deploy.proof import prove
from seefit.errors import ArtefactError, UsageError, unknown_name
from seefit.files import atomic_folder, resource_error

Format = Literal["onnx", "openvino", "int8", "hub"]
FORMATS: tuple[Format, ...] = get_args(Format)
EXPORTS = "export"  # the folder in a run that holds its exports


@dataclass(frozen=True)
class Exported:
    """An export that was written.

    Attributes:
        path: Its folder.
        format: One of `FORMATS`.
        sentences: What was found about it.
        facts: The same as numbers.
        repository: Where it was uploaded to; None otherwise.
    """

    path: Path
    format: str
    sentences: list[str]
    facts: dict[str, Any]
    repository: str | None = None

    @property
    def size_bytes(self) -> int:
        """How large its files are together."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


def export(
    run: Path, kind: str, *, out: Path | None = None, push: str | None = None, max_drop: float = MAX_DROP, console: Console = QUIET
) -> Exported:
    """Export the model of a finished run.

    Args:
        run: Its folder.
        kind: One of `FORMATS`.
        out: The folder to write; ``RUN/export/<kind>`` when None.
        push: For ``hub``: the repository of the Hugging Face hub to upload to, ``owner/name``.
        max_drop: For ``int8``: by how many points accuracy on the validation part may fall.
        console: Where to say what happens.

    Raises:
        UsageError: An unknown format, or an option that belongs to another one.
        RunError: Not a finished run.
        ArtefactError: Something is there already, the export cannot be proven or answers differently, or the format cannot hold the model.
        ResourceError: The disk is full, the place cannot be written to, a package is missing, or the hub cannot be reached.
    """
    if kind not in FORMATS:
        unknown_name("format", kind, FORMATS)
    if push is not None and kind != "hub":
        hint = "Leave --push out, or use --format hub"
        raise UsageError("Options that do not go together", where="--push", expected="--format hub", got=f"--format {kind}", hint=hint)
    if not max_drop >= 0:
        hint = "Leave --max-drop out, or name the points of accuracy that may be lost"
        raise UsageError("Bad setting", where="--max-drop", expected="a number of at least 0", got=f"{max_drop:g}", hint=hint)
    target = out or run / EXPORTS / kind
    _check_free(target)
    finished = open_finished(run)
    with atomic_folder(target) as folder:
        sentences, facts = _write(finished, folder, kind, max_drop, console)
    done = Exported(target, kind, sentences, facts)
    return done if push is None else Exported(target, kind, sentences, facts, push_folder(target, push, console=console))


def _write(finished: Finished, folder: Path, kind: str, max_drop: float, console: Console) -> tuple[list[str], dict[str, Any]]:
    """Write one format and what is known of it; return that as sentences and as numbers."""
    if kind == "int8":
        change = write_int8_export(finished, folder, max_drop=max_drop, console=console)
        sentences = [change.sentence(), "Head, temperature and trust were fitted to the quantised network; other figures are those of fp32"]
        _instruct(finished, folder, kind, load(folder).manifest, sentences)
        return sentences, {"change": change.to_json()}
    independent = Independent(finished)
    if kind == "hub":
        write_hub_export(finished, folder)
        proof = prove(finished, HubAnswer(independent, folder), finished.bundle.reference.probabilities, console=console)
        about = finished.bundle.manifest
    else:
        {"onnx": write_onnx_export, "openvino": write_openvino_export}[kind](finished, folder)
        exported = load(folder)
        proof, about = prove(finished, exported.reference.probabilities, independent.probabilities, console=console), exported.manifest
        seal(folder, about, {**about["export"], "proof": proof.to_json()})
    _instruct(finished, folder, kind, about, [proof.sentence()])
    return [proof.sentence()], {"proof": proof.to_json()}


def _instruct(finished: Finished, folder: Path, kind: str, about: dict[str, Any], sentences: Sequence[str]) -> None:
    write_instructions(finished, folder, kind, about, "".join(f"{sentence}.\n" for sentence in sentences))


def _check_free(target: Path) -> None:
    """Refuse a place that holds anything."""
    try:
        taken = target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir())))
    except OSError as error:
        raise resource_error(error, target) from error
    if taken:
        got = "a folder with files" if target.is_dir() else "a file"
        raise ArtefactError("Cannot export", where=target, expected="nothing there", got=got, hint="Name another folder with --out")
