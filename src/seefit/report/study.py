"""The page of a study, and its sentences for the console: which arm is better, whether that is shown, and what each costs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from seefit.drawing import shown, svg
from seefit.evaluation.front import pareto_front
from seefit.evaluation.intervals import estimate
from seefit.evaluation.paired import Paired
from seefit.report.comparison_figures import MOST_CURVES, draw_curves, draw_front
from seefit.report.difference import tell_difference, write_p
from seefit.report.map_figures import draw_classes
from seefit.report.page import Picture, Problem, Section, Step, Table, Verdict, render
from seefit.report.record import public_name
from seefit.report.study_figures import draw_arms, draw_differences, signed
from seefit.report.words import Words

HEADLINE = "balanced_accuracy"
FIGURES = ("balanced_accuracy", "accuracy", "macro_f1", "auc")
COLOURED = 8
Arm = dict[str, Any]


def build_study(found: dict[str, Any], words: Words, *, name: str) -> str:
    """Return the page of a study as HTML: one file without scripts that asks for nothing from a network.

    Args:
        found: As ``study.json`` has it.
        words: The language.
        name: Of the study's folder.
    """
    sections = [
        _arms(found, words),
        _differences(found, words),
        _costs(found, words),
        _curves(found, words),
        _maps(found, words),
        _how(found, words),
    ]
    return render(
        words,
        run=shown(name, 80),
        data=shown(public_name(found["data"]), 60),
        verdict=_verdict(found, words),
        notes=[],
        sections=[section for section in sections if section is not None],
        title=words("study.page"),
        footer=words("study.footer"),
    )


def tell_arm(arm: Arm, folds: int, words: Words) -> str:
    """Return what is shown of an arm, in the stated words, and the smallest difference that these folds can show.

    Args:
        arm: Not the first one.
        folds: Of all repeats.
        words: The language.
    """
    found = arm["against"]["figures"][HEADLINE]
    if found is None:
        return tell_difference(estimate(float("nan")), 1.0, folds, "folds", words)
    paired = Paired(**found)
    said = tell_difference(paired, arm["against"]["p_holm"], folds, "folds", words)
    return words("study.told", said=said, least=f"{100 * paired.detectable:.1f}")


def tell_winner(found: dict[str, Any], words: Words) -> str:
    """Return which arm is taken and why, and what it scored on the test part.

    Args:
        found: As ``study.json`` has it.
        words: The language.
    """
    winner = found["winner"]
    why = words("study.won" if winner["shown"] else "study.stays", arm=shown(winner["arm"], 60))
    less = found["vary"]["name"] == "amount" and float(winner["arm"]) < max(map(float, found["vary"]["values"]))
    return words.sentences(why, *([words("study.all_there_is")] if less else []), _scored(winner, words))


def _scored(winner: dict[str, Any], words: Words) -> str:
    """Say what the winner scored, on which part; or that nothing scored it."""
    metrics = winner.get("metrics")
    if winner.get("part") != "test" or not metrics:
        return words("study.no_test")
    figure = metrics[HEADLINE]
    ends = {end: "?" if figure[end] is None else f"{100 * figure[end]:.1f}" for end in ("low", "high")}
    return words("study.scored", value=f"{100 * figure['value']:.1f}", images=f"{metrics['n']:,}", **ends)


def varied(found: dict[str, Any], words: Words) -> str:
    """Return what is varied, in words where there are some, else as the option is called."""
    name = found["vary"]["name"]
    return words(f"study.vary.{name}") if words.has(f"study.vary.{name}") else name.replace("_", "-")


def _verdict(found: dict[str, Any], words: Words) -> Verdict:
    winner, others = found["winner"], found["arms"][1:]
    title = words("study.title_won" if winner["shown"] else "study.title_stays", arm=shown(winner["arm"], 40), what=varied(found, words))
    count = found["folds"] * found["repeats"]
    about = {"images": f"{found['images']:,}", "folds": count, "repeats": found["repeats"], "k": found["folds"], "arms": len(found["arms"])}
    lines = [words("study.about", **about), tell_winner(found, words)]
    problems = [
        Problem("note", shown(arm["name"], 60), tell_arm(arm, count, words)) for arm in others if arm["against"]["verdict"] != "helps"
    ]
    steps = [Step(words("study.look"), f"seefit report {shown(winner['run'])}")] if winner.get("run") else []
    steps += [] if winner["shown"] else [Step(words("study.more"))]
    return Verdict("better" if winner["shown"] else "unsure", title, lines, problems=problems, steps=steps, fine=words("study.fine"))


def ranked(arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms by their mean, the best first."""
    return sorted(arms, key=lambda arm: -(arm["figures"][HEADLINE]["mean"] or 0.0))


def _arms(found: dict[str, Any], words: Words) -> Section:
    arms, base = ranked(found["arms"]), found["arms"][0]
    means = [arm["figures"][HEADLINE]["mean"] or 0.0 for arm in arms]
    drawn = draw_arms(
        [arm["name"] for arm in arms], [np.array(arm["scores"], np.float64) for arm in arms], x_label=words("study.axis.balanced")
    )
    values = {"best": shown(arms[0]["name"], 40), "high": words.percent(means[0]), "low": words.percent(means[-1])}
    says = words("study.arms_says", least=shown(arms[-1]["name"], 40), **values)
    alt = words("study.arms_alt", count=len(arms), **values)
    header = [words("study.arm"), *(words(f"study.figure.{name}") for name in FIGURES), words("study.learnt")]
    rows = [[shown(arm["name"], 48), *(_cell(arm["figures"][name], name, words) for name in FIGURES), f"{arm['learnt']:,}"] for arm in arms]
    lead = [words("study.arms_lead", folds=found["folds"] * found["repeats"], base=shown(base["name"], 40)), words("study.balanced_means")]
    picture = Picture("study-arms", svg(drawn, "study-arms", alt), says, None)
    return Section("arms", words("study.arms"), lead, [picture], [(words("study.arms_table"), Table(header, rows))])


def _cell(figure: dict[str, float | None], name: str, words: Words) -> str:
    """Write a mean with its spread over the folds; AUC and F1 as plain numbers."""
    mean, spread = figure["mean"], figure["spread"]
    if mean is None:
        return "–"
    if name in {"auc", "macro_f1"}:
        return f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
    return words.percent(mean) if spread is None else f"{100 * mean:.1f} ± {words.percent(spread)}"


def _differences(found: dict[str, Any], words: Words) -> Section | None:
    others = [arm for arm in found["arms"][1:] if arm["against"]["figures"][HEADLINE]]
    if not others:
        return None
    count, base = found["folds"] * found["repeats"], shown(found["arms"][0]["name"], 40)
    numbers = np.array([[arm["against"]["figures"][HEADLINE][end] for end in ("value", "low", "high")] for arm in others], np.float64)
    verdicts = [arm["against"]["verdict"] for arm in others]
    values, lows, highs = numbers.T
    drawn = draw_differences([arm["name"] for arm in others], values, lows, highs, verdicts, x_label=words("study.axis.points"), base=base)
    helped, hurt = ([shown(arm["name"], 40) for arm in others if arm["against"]["verdict"] == verdict] for verdict in ("helps", "hurts"))
    said = [words("study.helped", names=words.names(helped))] if helped else []
    said += [words("study.hurt", names=words.names(hurt))] if hurt else []
    near = any(not low <= 0 <= high and said == "not shown" for (_, low, high), said in zip(numbers.tolist(), verdicts, strict=True))
    says = words.sentences(*(said or [words("study.none_shown", base=base)]), *([words("study.near")] if near else []))
    lead = [words("study.differences_lead", base=base), *(f"{shown(arm['name'], 40)}: {tell_arm(arm, count, words)}" for arm in others)]
    lead.append(words("study.pairs"))
    picture = Picture(
        "study-differences", svg(drawn, "study-differences", words("study.differences_alt", base=base, says=says)), says, None
    )
    return Section(
        "differences", words("study.differences"), lead, [picture], [(words("study.differences_table", base=base), _pairs(others, words))]
    )


def _pairs(others: Sequence[Arm], words: Words) -> Table:
    header = [
        words("study.arm"),
        *(words(f"study.figure.{name}") for name in FIGURES),
        *(words(f"study.{key}") for key in ("p", "effect", "least")),
    ]
    rows = []
    for arm in others:
        figures, head = arm["against"]["figures"], arm["against"]["figures"][HEADLINE]
        cells = [_change(figures[name]) for name in FIGURES]
        last = [write_p(arm["against"]["p_holm"]), f"{head['effect']:.2f}".replace("-", "−"), f"{100 * head['detectable']:.1f}"]
        rows.append([shown(arm["name"], 48), *cells, *last])
    return Table(header, rows)


def _change(figure: dict[str, float] | None) -> str:
    return "–" if figure is None else f"{signed(figure['value'])} [{signed(figure['low'])}, {signed(figure['high'])}]"


def _costs(found: dict[str, Any], words: Words) -> Section:
    """What each arm costs and how steady it is: the columns of the comparison of ResNets by hand, and accuracy over cost."""
    arms = found["arms"]
    header = [words("study.arm"), *(words(f"study.cost.{key}") for key in COSTS)]
    table = Table(header, [[shown(arm["name"], 48), *_cost_cells(arm, words)] for arm in arms])
    lead = [words("study.costs_lead"), words("study.stability")]
    rates = [round(arm["images_per_second"]) for arm in arms]
    pictures = [_pareto(found, words)] if differ_in_cost(arms) else []
    if not pictures:
        lead.append(words("study.same_cost", rate=f"{max(rates):,}"))
    return Section("costs", words("study.costs"), lead, pictures, [(words("study.costs_table"), table)])


def differ_in_cost(arms: Sequence[Arm]) -> bool:
    """Return whether the arms ship different networks."""
    return len({(arm["backbone"], arm["image_size"], arm["features"], arm["parameters"]) for arm in arms}) > 1


COSTS = ("gap_loss", "gap_accuracy", "seconds", "best", "auc", "parameters", "size", "rate")


def _cost_cells(arm: Arm, words: Words) -> list[str]:
    best, auc = arm["figures"]["accuracy"]["most"], arm["figures"]["auc"]["mean"]
    return [
        f"{arm['stability_loss']:.3f}",
        f"{100 * arm['stability_accuracy']:.1f}",
        f"{arm['seconds']:.2g}",
        "–" if best is None else words.percent(best),
        "–" if auc is None else f"{auc:.3f}",
        f"{arm['parameters']:,}",
        f"{arm['size_mb']:.1f}",
        f"{arm['images_per_second']:,.0f}",
    ]


def _pareto(found: dict[str, Any], words: Words) -> Picture:
    arms = found["arms"]
    names = [f"{place} · {shown(arm['name'], 40)}" for place, arm in enumerate(arms, 1)]
    costs = np.array([1000 / arm["images_per_second"] for arm in arms])
    figures = [arm["figures"]["accuracy"] for arm in arms]
    values, spreads = (np.array([figure[key] or 0.0 for figure in figures], np.float64) for key in ("mean", "spread"))
    front = pareto_front(costs.tolist(), values.tolist())
    axes = {"x_label": words("study.axis.cost"), "y_label": words("study.axis.accuracy")}
    drawn = draw_front(costs, values, values - spreads, np.minimum(values + spreads, 1.0), front, **axes)
    beaten = [name for name, on in zip(names, front, strict=True) if not on]
    worth = words.names([name for name, on in zip(names, front, strict=True) if on])
    says = words("study.pareto_beaten", names=words.names(beaten), front=worth) if beaten else words("study.pareto_all", front=worth)
    rows = [[name, f"{cost:.1f}", words.percent(value)] for name, cost, value in zip(names, costs, values, strict=True)]
    picture = svg(drawn, "study-costs", words("study.pareto_alt", says=says))
    return Picture(
        "study-costs", picture, words.sentences(says, words("study.pareto_note")), Table([words("study.arm"), *axes.values()], rows)
    )


def _curves(found: dict[str, Any], words: Words) -> Section | None:
    arms = [arm for arm in found["arms"] if arm["curve"]][:MOST_CURVES]
    if not arms:
        return None
    thresholds, everything = (np.array(arms[0]["curve"][key], np.float64) for key in ("thresholds", "everything"))
    lines = [(shown(arm["name"], 22), 100 * np.array(arm["curve"]["model"], np.float64)) for arm in arms]
    names = words("benefit.all"), words("benefit.none")
    drawn = draw_curves(thresholds, lines, 100 * everything, names=names, x_label=words("axis.weight"), y_label=words("axis.benefit"))
    areas = [arm["curve"]["area"] for arm in arms]
    best = int(np.argmax(areas))
    values = {"best": shown(arms[best]["name"], 40), "area": f"{100 * areas[best]:.1f}", "least": f"{100 * min(areas):.1f}"}
    header = [words("study.arm"), words("study.area"), words("study.area_gain")]
    rows = [[shown(arm["name"], 48), f"{100 * arm['curve']['area']:.2f}", _gain(arm["curve"]["gain"])] for arm in arms]
    places = range(0, len(thresholds), 10)
    numbers = [[words.percent(thresholds[i], 0), *(f"{line[i]:.1f}" for _, line in lines), f"{100 * everything[i]:.1f}"] for i in places]
    picture = Picture(
        "study-benefit",
        svg(drawn, "study-benefit", words("study.curves_alt", **values)),
        words("study.curves_says", **values),
        Table([words("axis.weight"), *(shown(name, 30) for name, _ in lines), names[0]], numbers),
    )
    looked_for = arms[0]["curve"]["class"]
    lead = [words("study.curves_mean") if looked_for is None else words("study.curves_lead", name=shown(looked_for, 40))]
    return Section("curves", words("study.curves"), lead, [picture], [(words("study.curves_table"), Table(header, rows))])


def _gain(gain: dict[str, float | None]) -> str:
    ends = [gain[end] for end in ("low", "high")]
    span = "" if None in ends else f" [{', '.join(signed(end or 0.0) for end in ends)}]"
    return "–" if gain["value"] is None else signed(gain["value"]) + span


def _maps(found: dict[str, Any], words: Words) -> Section | None:
    """The features that each arm's head learns from, drawn; arms that see the same features share one map."""
    different: list[Arm] = []
    for arm in found["arms"]:
        if arm["map"] and all(arm["map"]["places"] != other["map"]["places"] for other in different):
            different.append(arm)
    if not different:
        return None
    lead = [words("study.maps_lead")]
    if len(different) < len(found["arms"]):
        lead.append(words("study.maps_same"))
    header = [words("study.arm"), words("study.space"), words("study.silhouette"), words("study.own"), words("study.trust")]
    rows = [[shown(arm["name"], 48), _space(arm["map"], words), *_map_numbers(arm["map"], words)] for arm in different]
    pictures = [_map(i, arm, found, words) for i, arm in enumerate(different)]
    return Section("maps", words("study.maps"), lead, pictures, [(words("study.maps_table"), Table(header, rows))])


def _space(one: dict[str, Any], words: Words) -> str:
    space = one["space"]
    return words(f"study.space.{space}")


def _map_numbers(one: dict[str, Any], words: Words) -> list[str]:
    silhouette = "–" if one["silhouette"] is None else f"{one['silhouette']:.3f}".replace("-", "−")
    return [silhouette, "–" if one["own"] is None else words.percent(one["own"]), f"{one['trustworthiness']:.3f}"]


def _map(number: int, arm: Arm, found: dict[str, Any], words: Words) -> Picture:
    one, name = arm["map"], f"study-map-{'abcdefghijklmnop'[number % 16]}"
    places, labels = np.array(one["places"], np.float64), np.array(one["labels"], np.int64)
    coloured = np.argsort(-np.bincount(labels), kind="stable")[:COLOURED].tolist()
    drawn = draw_classes(places[:, 0], places[:, 1], labels, coloured, [shown(c, 24) for c in found["classes"]], rest=words("study.rest"))
    silhouette, own, trust = _map_numbers(one, words)
    values = {"arm": shown(arm["name"], 40), "own": own, "silhouette": silhouette, "trust": trust, "dots": f"{len(labels):,}"}
    says = words("study.map_says", space=_space(one, words), **values)
    return Picture(name, svg(drawn, name, words("study.map_alt", **values)), says, None)


def _how(found: dict[str, Any], words: Words) -> Section:
    trained = any(way != "probe" for way in found["method"])
    keys = ["folds", "groups" if found["groups"] else "alone", "trained" if trained else "probe", "test", "holm", "winner", "untouched"]
    values = {"folds": found["folds"], "repeats": found["repeats"], "groups": f"{found['groups']:,}", "seed": found["seed"]}
    lead = [words(f"study.how.{key}", **values) for key in keys]
    if found["vary"]["name"] in {"augment", "probe_views"}:
        lead.insert(3, words("study.how.views"))
    if found["vary"]["name"] == "clean":
        lead.insert(3, words("study.how.clean"))
    values_given = (";" if any("," in value for value in found["vary"]["values"]) else ",").join(found["vary"]["values"])
    command = f"seefit study DATA --vary {shlex.quote(found['vary']['name'].replace('_', '-') + '=' + values_given)}"
    return Section("how", words("study.how"), lead, command=shown(command))
