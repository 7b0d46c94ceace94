"""The map of the features: which pictures the network finds alike, by class and by mistake; dots open their picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seefit.bundle.runtime import ordered_map
from seefit.data.image import MAX_PIXELS
from seefit.drawing import shown, svg
from seefit.environment import threads
from seefit.report.map_figures import draw_classes, draw_mistakes, draw_views, spot
from seefit.report.page import Peek, Picture, Section, Spot, Table
from seefit.report.record import Record, read_split
from seefit.report.thumbnails import thumbnail
from seefit.report.wording import reword
from seefit.report.words import Words

LONGEST_TITLE = 120  # letters of what a dot says when pointed at: each of a hundred says it on up to four maps
SIDE_PX = 112  # of a picture that a dot opens: a hundred of them stay under 500 kB


def map_section(record: Record, words: Words) -> Section | None:
    """Where the pictures lie when those with like features lie close together."""
    found = record.insight("map")
    if found is None:
        return None
    last = found["maps"][-1]
    everywhere = {i: i for i in range(len(found["names"]))}
    spots = [_spots(found, one, everywhere, record, words) for one in found["maps"]]
    pictures = [_classes_picture(found, one, record, words, there) for one, there in zip(found["maps"], spots, strict=True)]
    if found["judged"]:
        pictures.append(_mistakes_picture(found, last, words, spots[-1]))
    if found["views"]:
        pictures.append(_views_picture(found, record, words))
    return Section("map", words("map.title"), _lead(found, words), pictures, peeks=_peeks(found, record, words))


def _lead(found: dict[str, Any], words: Words) -> list[str]:
    last, count = found["maps"][-1], len(found["names"])
    lead = [words("map.lead"), words("map.far")]
    if count < found["candidates"]:
        lead.append(words("map.sample", shown=f"{count:,}", images=f"{found['candidates']:,}"))
    trust = {"trust": f"{last['trustworthiness']:.2f}", "flat": f"{last['flat']:.2f}", "perplexity": f"{found['perplexity']:g}"}
    lead.append(words("map.trust", **trust))
    if last["space"] == "trained":
        lead.append(words("map.judged_only"))
    if found["groups"]:
        told = {"same": words.of_100(found["groups"]["same"]), "chance": words.of_100(found["groups"]["by_chance"])}
        lead.append(words("map.groups", near=found["neighbours"], count=f"{found['groups']['count']:,}", **told))
    if found["change"]:
        lead.append(_change(found["change"], words))
    return lead


def _classes_picture(found: dict[str, Any], one: dict[str, Any], record: Record, words: Words, spots: list[Spot]) -> Picture:
    name = f"map-{one['space']}"
    x, y = np.array(one["x"]), np.array(one["y"])
    drawn = draw_classes(x, y, np.array(found["labels"]), found["coloured"], record.classes, rest=words("map.others"))
    told = {"same": words.of_100(one["same"]), "chance": words.of_100(one["by_chance"]), "near": found["neighbours"]}
    says = words("map.says_frozen" if one["space"] == "frozen" else "map.says_trained", **told)
    alt = words("map.alt", images=f"{len(x):,}", classes=words.names([record.classes[i] for i in found["coloured"]], 8))
    return Picture(name, svg(drawn, name, alt), says, _numbers(found, one, record, words), spots=spots)


def _change(change: dict[str, Any], words: Words) -> str:
    """Say whether training brought pictures of one class closer together, as far as the interval allows."""
    if change["low"] is None or change["low"] <= 0 <= change["high"]:
        return words("map.change_none")
    range_ = words("format.interval", low=words.signed(change["low"], 1), high=words.signed(change["high"], 1))
    return words("map.change_more" if change["value"] > 0 else "map.change_less", points=words.signed(change["value"], 1), range=range_)


def _numbers(found: dict[str, Any], one: dict[str, Any], record: Record, words: Words) -> Table:
    """Return what was measured of a map; of the last one, of each class too."""
    rows = [
        [words("map.row_trust"), f"{one['trustworthiness']:.3f}"],
        [words("map.row_flat"), f"{one['flat']:.3f}"],
        [words("map.row_same"), words.percent(one["same"])],
        [words("map.row_chance"), words.percent(one["by_chance"])],
        [words("map.row_silhouette"), "–" if one["silhouette"] is None else f"{one['silhouette']:.3f}"],
    ]
    if one is found["maps"][-1]:
        rows += [[words("map.row_class", name=shown(record.classes[i], 40)), words.percent(same)] for i, *_, same in found["table"]]
    return Table([words("head.what"), words("head.value")], rows)


def _mistakes_picture(found: dict[str, Any], one: dict[str, Any], words: Words, spots: list[Spot]) -> Picture:
    said, labels = np.array(found["said"]), np.array(found["labels"])
    right, wrong = said == labels, (said >= 0) & (said != labels)
    keys = words("map.right"), words("map.wrong"), words("map.not_judged")
    drawn = draw_mistakes(np.array(one["x"]), np.array(one["y"]), right, wrong, words=keys)
    counts = {"wrong": f"{wrong.sum():,}", "judged": f"{(said >= 0).sum():,}", "among": f"{found['among_others']:,}"}
    says = words("map.says_mistakes" if wrong.any() else "map.says_no_mistakes", **counts)
    rows = [[key, f"{number:,}"] for key, number in zip(keys, (right.sum(), wrong.sum(), (said < 0).sum()), strict=True)]
    rows.append([words("map.row_among"), counts["among"]])
    table = Table([words("head.what"), words("head.images")], rows)
    return Picture("map-mistakes", svg(drawn, "map-mistakes", words("map.alt_mistakes", **counts)), says, table, spots=spots)


def _views_picture(found: dict[str, Any], record: Record, words: Words) -> Picture:
    views = found["views"]
    labels, of_each = np.array(views["labels"]), views["views"] + 1
    drawn = draw_views(np.array(views["x"]), np.array(views["y"]), labels, of_each, found["coloured"], record.classes)
    images = f"{len(labels) // of_each:,}"
    rows = {point: of_each * number for number, point in enumerate(views.get("points", ()))}
    says = words("map.says_views", images=images, views=views["views"], own=words.of_100(views["own"]))
    cells = [
        [words("map.row_augmentation"), shown(reword(words, "view", views["augmentation"]))],
        [words("map.row_own"), words.percent(views["own"])],
        [words("map.row_trust"), f"{views['trustworthiness']:.3f}"],
        [words("map.row_silhouette"), "–" if views["silhouette"] is None else f"{views['silhouette']:.3f}"],
    ]
    return Picture(
        "map-views",
        svg(drawn, "map-views", words("map.alt_views", images=images)),
        says,
        Table([words("head.what"), words("head.value")], cells),
        spots=_spots(found, views, rows, record, words),
    )


def _spots(found: dict[str, Any], one: dict[str, Any], rows: dict[int, int], record: Record, words: Words) -> list[Spot]:
    """Return where the points with a picture lie on one map, given the row of it that each point has."""
    return [
        Spot(
            *spot(one["x"][rows[i]], one["y"][rows[i]]),
            f"map-{number}",
            " · ".join([*_answers(found, i, record, words), shown(found["names"][i], 90)])[:LONGEST_TITLE],
        )
        for number, i in enumerate(found["pictured"], 1)
        if i in rows
    ]


def _answers(found: dict[str, Any], i: int, record: Record, words: Words) -> list[str]:
    """Return what the model said of a point, where it was asked, and what it really is."""
    label, said = found["labels"][i], found["said"][i]
    actual = words("map.actual", name=shown(record.classes[label], 60))
    if said < 0:
        return [actual, words("map.not_asked")]
    told = words("mistakes.predicted", name=shown(record.classes[said], 60), p=words.chance(found["sure"][i]))
    return [told, actual]


def _peeks(found: dict[str, Any], record: Record, words: Words) -> list[Peek]:
    chosen = found["pictured"]
    names = [found["names"][i] for i in chosen]
    split = read_split(record.run, names) if (record.run / "split.csv").is_file() else {}
    root, limit = Path(str(record.config.get("root") or ".")), int(record.config.get("max_pixels") or MAX_PIXELS)

    def picture(name: str) -> tuple[str, str]:
        return thumbnail(root, name, split.get(name, {}).get("sha256", ""), max_pixels=limit, largest_px=SIDE_PX)

    made = zip(chosen, names, ordered_map(picture, names, workers=threads()), strict=True)
    return [
        Peek(
            f"map-{number}",
            address,
            words(f"missing.{why}") if why else "",
            shown(name, 90),
            _answers(found, i, record, words),
            found["said"][i] not in {-1, found["labels"][i]},
            f"map-{number - 1 or len(chosen)}",
            f"map-{number % len(chosen) + 1}",
        )
        for number, (i, name, (address, why)) in enumerate(made, 1)
    ]
