"""The page of a search: what won, by how much, what that is worth on images the search never saw, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from seefit.drawing import shown, svg
from seefit.report.difference import write_p
from seefit.report.page import Picture, Problem, Section, Step, Table, Verdict, render
from seefit.report.record import Figure, public_name
from seefit.report.tuning_figures import draw_history, draw_importance
from seefit.report.words import Words

SHOWN = 10  # trials in the open; the others fold
FIGURES = ("balanced_accuracy", "accuracy", "macro_f1", "auc")
Trial = dict[str, Any]


def build_tuning(record: dict[str, Any], words: Words) -> str:
    """Return the page of a search as HTML: one file without scripts that asks for nothing from a network.

    Args:
        record: As ``tune.json`` has it.
        words: The language.
    """
    sections = [_result(record, words), _history(record, words), _importance(record, words), _trials(record, words), _how(record, words)]
    return render(
        words,
        run=shown(record["tune"], 80),
        data=shown(public_name(record["data"]), 60),
        verdict=_verdict(record, words),
        notes=[],
        sections=[section for section in sections if section is not None],
        title=words("tuning.page"),
        footer=words("tuning.footer"),
    )


def tell_settings(params: Mapping[str, object], default: str = "default") -> str:
    """Return settings on one line.

    Args:
        params: Name → value; None is what seefit does by itself.
        default: The word for that.
    """
    return ", ".join(f"{name.replace('_', '-')} {default if value is None else value}" for name, value in params.items())


def tell_gain(record: dict[str, Any], words: Words) -> str:
    """Return how much better the winner was in the search than the first trial, and whether that is more than luck.

    Args:
        record: As ``tune.json`` has it.
        words: The language.
    """
    best, first, gain = record["best"], record["first"], record["gain"]
    if best["number"] == first["number"]:
        return words("tuning.gain_none", count=f"{len(record['trials']):,}", value=words.percent(best["score"]))
    if gain is None:
        return words("tuning.gain_unknown", value=words.percent(best["score"]))
    key = "tuning.gain_shown" if gain["shown"] else "tuning.gain_not_shown"
    points = words.signed(gain["value"], 1)
    return words(key, best=words.percent(best["score"]), first=words.percent(first["score"]), points=points, p=write_p(gain["p"]))


def tell_score(record: dict[str, Any], words: Words) -> str:
    """Return what the winner reaches on the part that the search did not see.

    Args:
        record: As ``tune.json`` has it.
        words: The language.
    """
    winner = record["winner"]
    figure = _figure(winner["figures"]["balanced_accuracy"])
    values = {"value": words.percent(figure.value), "interval": words.interval("balanced_accuracy", figure)}
    return words(f"tuning.scored_{winner['part']}", images=f"{winner['figures']['n']:,}", **values)


def _figure(found: Mapping[str, float | None]) -> Figure:
    return Figure(found["value"] or 0.0, found["low"], found["high"])


def _settings(trial: Trial, words: Words) -> str:
    return shown(tell_settings(trial["params"], words("tuning.default")), 160)


def _verdict(record: dict[str, Any], words: Words) -> Verdict:
    best, first, winner = record["best"], record["first"], record["winner"]
    stays = best["number"] == first["number"]
    count = {"count": f"{len(record['trials']):,}", "number": best["number"]}
    title = words("tuning.title_stays" if stays else "tuning.title_won", **count)
    lines = [words("tuning.winner", settings=_settings(best, words)), tell_gain(record, words), tell_score(record, words)]
    problems = [Problem("note", words("tuning.too_good"), words("tuning.too_good_why", value=words.percent(best["score"])))]
    if winner["times_scored"] > 1:
        problems.insert(0, Problem("serious", words("tuning.again"), words("tuning.again_why", times=winner["times_scored"])))
    gain = record["gain"]
    return Verdict("better" if gain and gain["shown"] else "unsure", title, lines, problems=problems, steps=_steps(record, words))


def _steps(record: dict[str, Any], words: Words) -> list[Step]:
    steps = [Step(words("tuning.look"), f"seefit report {shown(record['winner']['run'])}")]
    if record["ended"] != "exhausted":
        steps.append(Step(words("tuning.go_on"), f"seefit tune --out {shown(record['tune'])} --trials {2 * len(record['trials'])}"))
    elif record["method"] == "probe":
        steps.append(Step(words("tuning.wider"), "seefit tune DATA --space finetune"))
    return steps


def _result(record: dict[str, Any], words: Words) -> Section:
    """The figure of the search beside that of the untouched part, and every figure of that part."""
    winner = record["winner"]
    found = {name: _figure(winner["figures"][name]) for name in FIGURES if winner["figures"].get(name)}
    rows = [[words(f"study.figure.{name}"), words.value(name, one), words.interval(name, one)] for name, one in found.items()]
    header = [words("tuning.figure"), words("tuning.value"), words("tuning.interval")]
    lead = [tell_score(record, words), words("tuning.apart", value=words.percent(record["best"]["score"]))]
    caption = words(f"tuning.part_{winner['part']}", images=f"{winner['figures']['n']:,}")
    return Section("result", words("tuning.result"), lead, tables=[(caption, Table(header, rows))])


def _history(record: dict[str, Any], words: Words) -> Section:
    trials = record["trials"]
    scores, so_far = (np.array([np.nan if one[key] is None else one[key] for one in trials], np.float64) for key in ("score", "so_far"))
    names = words("tuning.state.whole"), words("tuning.state.given_up"), words("tuning.best_so_far")
    drawn = draw_history(scores, so_far, names=names, x_label=words("tuning.trial"))
    values = {"best": words.percent(float(np.nanmax(scores))), "worst": words.percent(float(np.nanmin(scores)))}
    counts = {name.replace(" ", "_"): f"{count:,}" for name, count in record["counts"].items()}
    says = words("tuning.history_says", number=record["best"]["number"], count=f"{len(trials):,}", **values)
    picture = Picture("tuning-history", svg(drawn, "tuning-history", words("tuning.history_alt", says=says)), says, None)
    return Section("history", words("tuning.history"), [words("tuning.history_lead", **counts)], [picture])


def _importance(record: dict[str, Any], words: Words) -> Section | None:
    found = record["importance"]
    if not found:
        return None
    names = [name.replace("_", "-") for name in found]
    drawn = draw_importance(names, np.array(list(found.values()), np.float64), x_label=words("tuning.axis.importance"))
    says = words("tuning.importance_says", name=names[0], share=words.percent(found[next(iter(found))], 0))
    table = Table(
        [words("tuning.setting"), words("tuning.share")],
        [[name, words.percent(share)] for name, share in zip(names, found.values(), strict=True)],
    )
    picture = Picture("tuning-importance", svg(drawn, "tuning-importance", words("tuning.importance_alt", says=says)), says, table)
    return Section("importance", words("tuning.importance"), [words("tuning.importance_lead", whole=record["counts"]["whole"])], [picture])


def _trials(record: dict[str, Any], words: Words) -> Section:
    """All trials, the best first."""
    ranked = sorted(record["trials"], key=lambda trial: -(trial["score"] or -1.0))
    searched = list(record["searched"])
    header = [words("tuning.trial"), words("tuning.score"), words("tuning.seconds"), *(name.replace("_", "-") for name in searched)]
    rows = [[str(one["number"]), _score(one, words), f"{one['seconds']:.1f}", *_values(one, searched, words)] for one in ranked]
    tables = [(words("tuning.best_trials"), Table(header, rows[:SHOWN]))]
    folded = [(words("tuning.other_trials"), Table(header, rows[SHOWN:]))] if len(rows) > SHOWN else []
    failed = [words("tuning.failed", number=one["number"], why=shown(one["why"], 200)) for one in ranked if one["why"]]
    return Section("trials", words("tuning.trials"), [words("tuning.trials_lead"), *failed[:3]], tables=tables, folded=folded)


def _score(trial: Trial, words: Words) -> str:
    if trial["score"] is not None:
        return words.percent(trial["score"], 2)
    state = words(f"tuning.state.{trial['state'].replace(' ', '_')}")
    return state if trial["so_far"] is None else f"{state} ({words.percent(trial['so_far'])})"


def _values(trial: Trial, searched: list[str], words: Words) -> list[str]:
    values = (trial["params"].get(name) for name in searched)
    return [words("tuning.default") if value is None else shown(str(value), 40) for value in values]


def _how(record: dict[str, Any], words: Words) -> Section:
    """What was searched, and how trials were judged."""
    rows = [[name.replace("_", "-"), _domain(domain, words)] for name, domain in record["searched"].items()]
    rows += [[name.replace("_", "-"), shown(str(value), 40)] for name, value in record["fixed"].items()]
    values = {"images": f"{record['images']:,}", "folds": record["folds"], "seconds": f"{record['seconds']:,.0f}"}
    keys = ["folds", "proposed", "given_up", "winner", f"ended_{record['ended']}"]
    lead = [words(f"tuning.how.{key}", **values) for key in keys]
    table = Table([words("tuning.setting"), words("tuning.tried")], rows, prose=True)
    return Section("how", words("tuning.how"), lead, tables=[(words("tuning.space"), table)])


def _domain(domain: Any, words: Words) -> str:
    if isinstance(domain, dict):
        return words("tuning.range_log" if domain.get("log") else "tuning.range", low=domain["low"], high=domain["high"])
    return shown(", ".join(words("tuning.default") if value == "default" else str(value) for value in domain), 300)
