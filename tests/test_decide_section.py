"""The line between two classes by a reader's costs, from files alone; and the decision curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_insights import add_insights, make_material, make_scores
from made_run import make_run
from seefit.errors import UsageError
from seefit.files import to_json, write_text
from seefit.insights.decide import find_decide
from seefit.report.benefit import benefit_section, draw_benefit
from seefit.report.decide import check_choice, decide_section, draw_costs, find_choice, read_costs
from seefit.report.record import Record, read_run
from seefit.report.words import Words
from test_curves import scores
from test_decide import draw

EN = Words("en")


def made(tmp_path: Path, classes: int = 2) -> Record:
    root = tmp_path / "data"
    photos = {f"class {i}": [root / f"{i}" / f"{j}.png" for j in range(40)] for i in range(classes)}
    return read_run(add_insights(make_run(tmp_path / "run", photos, root=root, wrong=0.3), list(photos)))


def decided(tmp_path: Path, *, held_out: bool = True, source: str = "test", n: int = 400, **changes: Any) -> Record:
    """Return a run whose two classes are judged on made scores, and the line chosen on others."""
    record = made(tmp_path)
    sides = []
    for seed in (1, 2):
        probabilities, positive = draw(n, seed=seed)
        sides.append((np.stack([1 - probabilities, probabilities], axis=1), positive.astype(int).tolist()))
    material = make_material(
        ["fine", "cracked"],
        judged=make_scores(*sides[0], source=source),
        held_out=make_scores(*sides[1], source="val") if held_out else None,
        train=["fine", "fine", "cracked"],
    )
    write_text(record.run / "insights" / "decide.json", to_json(find_decide(material)))
    return replace(record, **changes)


def test_equal_costs_leave_the_usual_line(tmp_path: Path) -> None:
    section = decide_section(decided(tmp_path), EN)
    assert section is not None
    assert section.pictures[0].says.startswith(
        "With these costs the usual line at 50\u00a0% is as good as any that the held-out pictures speak for"
    )
    (_, table), *_ = section.tables
    assert [row[0] for row in table.rows] == [
        "The usual one: the likelier class",
        "Finds at least 95\u00a0% of “cracked”, where it was chosen",
        "At least 95\u00a0% of alarms right, where it was chosen",
    ]
    assert section.command.endswith("run --cost-fp 1 --cost-fn 5")
    chinese = decide_section(decided(tmp_path / "zh"), Words("zh"))
    assert chinese is not None
    assert chinese.command.endswith("run --cost-fp 1 --cost-fn 5 --lang zh")


def test_dear_misses_lower_the_line_and_the_page_says_what_that_saves(tmp_path: Path) -> None:
    record = decided(tmp_path, costs=(1.0, 20.0))
    choice, section = find_choice(record), decide_section(record, EN)
    assert choice is not None
    assert section is not None
    line = choice.to_json()
    assert line["from"] < 0.15
    assert line["saved"]["low"] > 0
    assert "a false alarm costs 1 and a missed “cracked” costs 20" in section.lead[2]
    says = section.pictures[0].says
    assert says.startswith(
        f"With these costs the line belongs at {100 * line['from']:.1f}\u00a0%: mistakes then cost {100 * line['cost']['value']:.1f} ("
    )
    assert says.endswith("more than chance explains.")
    (_, table), *_ = section.tables
    assert table.rows[0][0] == "Cheapest by these costs"
    assert table.rows[0][2].startswith(f"{100 * line['found']['value']:.0f}\u00a0% (")


def test_the_judged_images_have_no_say_in_where_the_line_is(tmp_path: Path) -> None:
    one, other = decided(tmp_path / "a", costs=(1.0, 7.0)), decided(tmp_path / "b", costs=(1.0, 7.0))
    found = other.insight("decide")
    assert found is not None
    found["table"]["blocks"] = {side: list(reversed(rows))[:50] for side, rows in found["table"]["blocks"].items()}
    write_text(other.run / "insights" / "decide.json", to_json(found))
    first, second = find_choice(one), find_choice(other)
    assert first is not None
    assert second is not None
    assert first.place == second.place
    assert first.to_json()["found"] != second.to_json()["found"]


def test_the_same_images_for_both_and_none_at_all_are_said(tmp_path: Path) -> None:
    flattered = decide_section(decided(tmp_path / "a", source="val"), EN)
    assert flattered is not None
    assert flattered.lead[1].startswith("There is no test part: the pictures that chose the lines also show what they give")
    record = decided(tmp_path / "b", held_out=False)
    bare = decide_section(record, EN)
    assert bare is not None
    assert bare.lead[1].startswith("No pictures were kept back")
    assert bare.command == "", "the command would be refused"
    assert bare.pictures[0].says.startswith("At the usual line of 50\u00a0% mistakes cost ")
    assert [row[0] for row in bare.tables[0][1].rows] == ["The usual one: the likelier class"]
    with pytest.raises(UsageError, match=r"Costs cannot be weighed: .*run\. Expected two classes, .*got no pictures kept back \(--val\)\."):
        check_choice(record)


def test_costs_of_more_than_two_classes_are_refused(tmp_path: Path) -> None:
    record = made(tmp_path, 3)
    assert decide_section(record, EN) is None
    with pytest.raises(UsageError, match="got 3 classes"):
        check_choice(record)


def test_costs_that_make_no_sense_are_named_together() -> None:
    assert read_costs(None, None) is None
    assert read_costs(None, 5) == (1, 5)
    assert read_costs(0.5, None) == (0.5, 1)
    with pytest.raises(UsageError) as failure:
        read_costs(0, float("inf"))
    assert "--cost-fp. Expected a finite number above 0, got 0." in str(failure.value)
    assert "--cost-fn. Expected a finite number above 0, got inf." in str(failure.value)


def test_the_file_stays_small_and_says_nothing_where_there_is_nothing() -> None:
    probabilities, positive = draw(20_000)
    judged = make_scores(np.stack([1 - probabilities, probabilities], axis=1), positive.astype(int).tolist())
    assert len(to_json(find_decide(make_material(["a", "b"], judged=judged, held_out=judged, train=["a"])))) < 300_000
    table, labels = scores(400, 101)
    assert find_decide(make_material([str(i) for i in range(101)], judged=make_scores(table, labels.tolist()))) is None
    assert find_decide(make_material(["a", "b"])) is None
    assert find_decide(make_material(["a", "b"], judged=make_scores(table[:, :2], [1] * 400), train=["a"])) is None


def test_a_decision_curve_says_whether_acting_pays(tmp_path: Path) -> None:
    section = benefit_section(decided(tmp_path, costs=(1.0, 3.0)), EN)
    assert section is not None
    (picture,) = section.pictures
    assert picture.says.startswith("Over all these weights the model’s curve lies at ")
    assert picture.says.endswith("That is more than chance explains.")
    assert picture.table is not None
    assert [row[0] for row in picture.table.rows] == [f"{i}0\u00a0%" for i in range(1, 10)]


def test_more_classes_have_a_mean_curve_and_what_each_is_worth(tmp_path: Path) -> None:
    section = benefit_section(made(tmp_path, 4), EN)
    assert section is not None
    (_, table), *_ = section.tables
    assert len(table.rows) == 4
    worth = [float(row[1].split(" ")[0].replace("−", "-")) for row in table.rows]
    assert worth == sorted(worth)


def test_drawings_mark_the_line_and_the_costs() -> None:
    thresholds = np.array([0.2, 0.5, 0.8])
    costs: Any = draw_costs(thresholds, {"test": np.array([3.0, 2.0, 4.0])}, 1).axes[0]
    assert list(costs.lines[-1].get_xdata()) == [0.5]
    assert list(costs.lines[-1].get_ydata()) == [2.0]
    model = np.array([10.0, 5.0, 1.0])
    benefit: Any = draw_benefit(thresholds, model, model - 1, model + 1, np.array([8.0, -10, -90]), marked=0.3).axes[0]
    assert list(benefit.lines[0].get_xdata()) == [0.3, 0.3]
    assert benefit.get_ylim()[0] > -5, "acting on all may fall as far as it likes"
