"""``seefit models``: the backbones one can name, what they cost and what they are known to reach."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seefit.cli.show import stdout_console
from seefit.errors import unknown_name
from seefit.files import to_json
from seefit.models.zoo import PUBLISHED, ZOO, Model, Source, matching, weights_here

if TYPE_CHECKING:
    from rich.table import Table


def models(*, filter: str | None = None, json_output: bool = False) -> int:
    """Print the table of backbones.

    Args:
        filter: A name or a pattern such as ``resnet*``. When the table has nothing that fits, all model names
            of timm are searched and printed as a plain list.
        json_output: Print one JSON object instead: ``{"models": [...], "others": [...]}``.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: No model fits the filter.
    """
    rows = ZOO if filter is None else matching(filter)
    others = [] if rows or filter is None else _timm_names(filter)
    if json_output:
        print(to_json({"models": [_record(model) for model in rows], "others": others}))
    elif rows:
        _print_table(rows)
    else:
        print("\n".join(others))
        print("These are not in the table of `seefit models`; each can be given as --backbone.", file=sys.stderr)
    return 0


def _timm_names(pattern: str) -> list[str]:
    import timm

    names: list[str] = timm.list_models(pattern)
    if not names:
        unknown_name("model", pattern, [*(model.name for model in ZOO), *timm.list_models()])
    return names


def _record(model: Model) -> dict[str, Any]:
    source = {"table": model.source.table, "url": model.source.url} if model.source else None
    return {
        "name": model.name,
        "backbone": model.timm_name,
        "aliases": list(model.aliases),
        "parameters": model.parameters,
        "multiply_adds": model.multiply_adds,
        "depth": model.depth,
        "input_px": model.input_px,
        "top1": model.top1,
        "top5": model.top5,
        "licence": model.licence,
        "weights_here": weights_here(model),
        "source": source,
    }


def _print_table(rows: Sequence[Model]) -> None:
    console = stdout_console()
    sources = list(dict.fromkeys(model.source for model in rows if model.source))
    console.print(_table(rows, sources))
    console.print(
        "params: with 1000 classes (lenet5 with 10, small with 2). mult-adds: one image at that input, convolutions and linear layers. "
        "depth: layers on the longest way. top-1, top-5: published ImageNet accuracy in %. source: see below. "
        "weights here: no download needed; scratch: none were published, train it with --method scratch."
    )
    for number, source in enumerate(sources, 1):
        console.print(f"[{number}] {source.table}\n    {source.url}", markup=False, soft_wrap=True)


def _table(rows: Sequence[Model], sources: Sequence[Source]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for header in ("params", "mult-adds", "depth", "input", "top-1", "top-5"):
        table.add_column(header, justify="right")
    for header in ("source", "licence", "weights here"):
        table.add_column(header, overflow="fold")
    for model in rows:
        table.add_row(*_cells(model, sources))
    return table


def _cells(model: Model, sources: Sequence[Source]) -> list[str]:
    return [
        model.name,
        f"{model.parameters / 1e6:.1f} M",
        f"{model.multiply_adds / 1e9:.2f} G" if model.multiply_adds >= 5e6 else f"{model.multiply_adds / 1e6:.2f} M",
        str(model.depth),
        f"{model.input_px} px",
        _per_cent(model.top1),
        _per_cent(model.top5),
        f"\\[{sources.index(model.source) + 1}]" if model.source else "-",
        model.licence,
        "yes" if weights_here(model) else "scratch" if model.timm_name in PUBLISHED else "no",
    ]


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
