"""``seefit tune``: search for settings inside the training part, train the winner, score it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seefit.cli.show import figure_text, stdout_console
from seefit.console import Console, one_line
from seefit.files import to_json
from seefit.report.tuning import tell_gain, tell_settings
from seefit.report.words import Words
from seefit.studies.tune import PAGE, ask
from seefit.studies.tune import tune as search

SHOWN_TRIALS = 10
_PARTS = {"test": "test part", "val": "validation part (there is no test part)"}


def tune(
    given: dict[str, Any],
    *,
    space: str | None,
    trials: int | None,
    minutes: float | None,
    out: Path | None,
    lang: str,
    json_output: bool,
    console: Console,
) -> int:
    """Search and show what was found.

    Args:
        given: Settings given by hand.
        space: ``probe``, ``finetune`` or the path of a YAML file; None for that of a probe.
        trials: How many in all; None for the usual number.
        minutes: What the search may take; None for as long as it takes.
        out: The tune folder, new or one to go on with.
        lang: Of the page.
        json_output: Print the content of ``tune.json`` on stdout.
        console: Where progress is shown.
    """
    Words(lang)  # an unknown language is refused before any work
    question, folder = ask(given, space=space, trials=trials, minutes=minutes, out=out, console=console)
    record = search(question, folder, lang=lang, console=console)
    if json_output:
        print(to_json(record))
    else:
        _show(record, folder)
    return 0


def _show(record: dict[str, Any], folder: Path) -> None:
    counts, winner, best, first = record["counts"], record["winner"], record["best"], record["first"]
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    print(f"\n{len(record['trials']):,} trials in {record['seconds']:,.0f} s: {told}\n")
    _table(record)
    if record["importance"]:
        shares = ", ".join(f"{name.replace('_', '-')} {share:.0%}" for name, share in record["importance"].items())
        print(f"\nWhat mattered in the search: {shares}")
    print("\nbalanced accuracy")
    folds = f"mean of {record['folds']} folds of the training part"
    if first["score"] is not None:
        print(f"  in the search, seefit's own settings  {first['score']:>6.1%}  {folds}")
    print(f"  in the search, the winner             {best['score']:>6.1%}  likewise; the best of many, so too good: do not report it")
    figure = figure_text(winner["figures"]["balanced_accuracy"], ".1%").strip()
    print(f"  untouched {_PARTS[winner['part']]:<27} {figure:>6}  95 % interval; this is the one to report")
    print(f"\n{tell_gain(record, Words('en'))}")
    if winner["times_scored"] > 1:
        print(Words("en")("tuning.again_why", times=winner["times_scored"]))
    print(f"\npage     {folder / PAGE}")
    print(f"run      {winner['run']}")
    print(f"predict  seefit predict {winner['run']} IMAGES")


def _table(record: dict[str, Any]) -> None:
    """Print the best trials."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for header in ("trial", "score", "s"):
        table.add_column(header, justify="right")
    table.add_column("settings", overflow="fold")
    ranked = sorted(record["trials"], key=lambda trial: -(trial["score"] or -1))
    for trial in ranked[:SHOWN_TRIALS]:
        score = trial["state"] if trial["score"] is None else f"{trial['score']:.2%}"
        table.add_row(str(trial["number"]), score, f"{trial['seconds']:.1f}", one_line(tell_settings(trial["params"])))
    if len(ranked) > SHOWN_TRIALS:
        table.add_row("…", "", "", f"and {len(ranked) - SHOWN_TRIALS:,} more in trials.csv")
    stdout_console(markup=False).print(table)
