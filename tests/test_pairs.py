"""Copies and look-alikes side by side."""

from __future__ import annotations

from seefit.report.page import Card
from seefit.report.pairs import show_pairs
from seefit.report.words import Words


def pairs(groups: list[list[str]], count: int, lang: str = "en") -> tuple[str, list[list[str]]]:
    def card(name: str) -> Card:
        return Card("", "", name, "", "", [])

    heading, found = show_pairs(Words(lang), "Copies", groups, count=count, kind=lambda name: name[0], card=card)
    return heading, [[one.title for one in pair] for pair in found]


def test_two_of_a_group_are_of_different_kinds_where_it_has_several() -> None:
    assert pairs([["a1", "a2", "b1"], ["c1", "c2", "c3"]], 2) == ("Copies", [["a1", "b1"], ["c1", "c2"]])


def test_of_many_groups_the_first_are_shown_and_the_number_is_said() -> None:
    groups = [[f"{i}a", f"{i}b"] for i in range(9)]
    assert pairs(groups, 1_200) == ("Copies: the first 3 of 1,200", [["0a", "0b"], ["1a", "1b"], ["2a", "2b"]])
    assert pairs(groups, 1_200, "zh")[0] == "Copies：共 1,200 组，这里是前 3 组"
