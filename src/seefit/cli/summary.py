"""``seefit summary``: the layers of a network with shapes, parameters, sizes and multiply-adds, and a drawing of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.bundle.manifest import MANIFEST, folder_of, read_manifest
from seefit.cli.show import stdout_console
from seefit.console import one_line
from seefit.errors import SeefitError, UsageError
from seefit.files import to_json, write_text
from seefit.models.diagram import draw_network, shape_text, short
from seefit.models.zoo import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from seefit.models.summary import Layer, Summary

MANY_ROWS = 40  # more are folded unless --depth says otherwise


def summary(
    model: str,
    *,
    image_size: int | None = None,
    classes: int | None = None,
    depth: int | None = None,
    out: Path | None = None,
    json_output: bool = False,
) -> int:
    """Show what a network is made of; it needs no weights.

    Args:
        model: A name, a user's own network as ``file.py:function``, or a run folder.
        image_size: Side of the input in pixels; None for what the network was made for.
        classes: Number of classes; None for what the network was made for.
        depth: Fold layers whose names begin with the same so many parts; None for the most that fit on a page.
        out: An SVG file for a drawing.
        json_output: Print ``{"parameters", "trainable", "flops", "input", "layers": [{"name", "type", "output", "parameters"}]}``.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: An unknown name, a user's file that gives no network, or an input that the network cannot take.
        ArtefactError: A folder that is no run.
    """
    if out is not None and out.suffix.lower() != ".svg":
        raise UsageError("Unknown file type", where=out, expected=".svg", got=repr(out.suffix), hint="Name a file that ends in .svg")
    network, side = _of_run(model, image_size, classes) if _is_run(model) else _by_name(model, image_size, classes)
    found = _count(network, side, model)
    if out is not None:
        from seefit.drawing import svg, svg_file

        words = f"{model}: {found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds"
        write_text(out, svg_file(svg(draw_network(found, model), "network", words)))
    if json_output:
        print(to_json(_record(found)))
    else:
        _print(found, f"{one_line(model)} at {side} px", depth)
        if out is not None:
            print(f"Drawing: {out}")
    return 0


def _is_run(model: str) -> bool:
    folder = Path(model)
    return any((folder / inside).is_file() for inside in (MANIFEST, f"bundle/{MANIFEST}", "config.yaml"))


def _by_name(model: str, image_size: int | None, classes: int | None) -> tuple[nn.Module, int]:
    from seefit.models.architecture import build

    return build(resolve(model), classes=classes, image_size=image_size)


def _of_run(run: str, image_size: int | None, classes: int | None) -> tuple[nn.Module, int]:
    """Build the network of a run: its backbone, frozen where it was, and the head on the stages that the run chose."""
    from seefit.models.architecture import build_probed

    given = {"--image-size": image_size, "--classes": classes}
    for option, value in given.items():
        if value is not None:
            hint = f"Leave out {option}, or name the backbone instead of the run"
            raise UsageError("A run has its own", where=option, expected="none for a run", got=str(value), hint=hint)
    manifest = read_manifest(folder_of(Path(run)))
    if manifest.get("members"):
        hint = f"Name one of its networks: {manifest['backbone'].replace('+', ', ')}"
        raise UsageError("Cannot show the layers", where=run, expected="a run of one network", got="a mean of several", hint=hint)
    side = int(manifest["image_size"])
    network = build_probed(manifest["backbone"], side, manifest["features"], _head_of(manifest))
    trained = manifest.get("trained", [] if manifest.get("method") == "probe" else None)
    if trained is not None:  # a bundle that an earlier version fine-tuned does not say it
        layers = tuple(f"{name}." for name in ["probe", *trained])
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(f"{name}.".startswith(layers))
    return network, side


def _head_of(manifest: dict[str, Any]) -> Callable[[int], nn.Module]:
    """Return what makes the head of a run as it was trained, from the number of features."""
    from torch.nn import Linear

    from seefit.training.heads import new_head

    kind, classes = str(manifest.get("head")), len(manifest["classes"])
    if kind in {"hidden", "logit"}:
        return lambda width: new_head(kind, width, classes, units=manifest["hidden"])
    return lambda width: Linear(width, classes)


def _count(network: nn.Module, side: int, model: str) -> Summary:
    from seefit.models.summary import summarise

    try:
        return summarise(network, (3, side, side))
    except SeefitError:
        raise
    except Exception as error:  # what a network raises at a size that is not for it, or what a user's own raises
        got = f"{type(error).__name__} ({next(iter(str(error).splitlines()), 'no reason given')[:160]})"
        expected = f"a network that takes images of {side} x {side} pixels"
        raise UsageError("Cannot run the network", where=model, expected=expected, got=got, hint="Try another --image-size") from error


def _record(found: Summary) -> dict[str, Any]:
    rows = [{"name": row.name, "type": row.type, "output": list(row.output), "parameters": row.parameters} for row in found.layers]
    return {
        "parameters": found.parameters,
        "trainable": found.trainable,
        "flops": found.multiply_adds,
        "input": list(found.input),
        "layers": rows,
    }


def _print(found: Summary, title: str, depth: int | None) -> None:
    chosen = depth or _depth(found)
    rows = found.fold(chosen)
    print(title)
    _print_table(rows)
    if len(rows) < len(found.layers):
        more = f"--depth {chosen + 1} shows more, " if chosen + 1 < found.depth else ""
        print(f"\n{len(found.layers)} layers in {len(rows)} rows: {more}--depth {found.depth} shows all.")
    print()
    for name, value in _totals(found):
        print(f"{name:<18} {value}")


def _depth(found: Summary) -> int:
    """Return the largest depth whose table is not too long, or 1."""
    fitting = [depth for depth in range(1, found.depth + 1) if len(found.fold(depth)) <= MANY_ROWS]
    return max(fitting, default=1)


def _print_table(rows: Sequence[Layer]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for header, place in (("layer", "left"), ("type", "left"), ("output", "left"), ("parameters", "right"), ("mult-adds", "right")):
        table.add_column(header, justify=place, overflow="fold")  # type: ignore[arg-type]  # rich names the five words
    for row in rows:
        cost = short(row.multiply_adds) if row.multiply_adds else "–"
        name = one_line(row.name) or "weights of its own"
        table.add_row(name, one_line(row.type), shape_text(row.output), f"{row.parameters:,}" if row.parameters else "–", cost)
    stdout_console(markup=False).print(table)


def _totals(found: Summary) -> list[tuple[str, str]]:
    within = f", and {short(found.attention)} between activations inside attention" if found.attention else ""
    return [
        ("parameters", f"{found.parameters:,}"),
        ("  trainable", f"{found.trainable:,}"),
        ("  frozen", f"{found.frozen:,}"),
        ("multiply-adds", f"{short(found.multiply_adds)} in convolutions and linear layers, one image{within}"),
        ("size: input", f"{found.input_mb:.2f} MB"),
        ("  forward/backward", f"{found.activations_mb:.2f} MB"),
        ("  parameters", f"{found.parameters_mb:.2f} MB"),
        ("  total", f"{found.total_mb:.2f} MB"),
    ]
