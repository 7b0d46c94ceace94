"""Where runs came from, as they tell it themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seefit.lineage import LINEAGE, Parent, read_parents, record_parent


def test_what_a_search_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record_parent(tmp_path, "tune", Path("searches/one"))
    assert json.loads((tmp_path / LINEAGE).read_text()) == {"kind": "tune", "from": str(tmp_path / "searches" / "one")}
    assert read_parents(tmp_path, {"resolved": {}}) == [Parent("tune", tmp_path / "searches" / "one")]


def test_what_extends_a_run_and_was_chosen_by_a_study_has_two_parents(tmp_path: Path) -> None:
    record_parent(tmp_path, "study", tmp_path / "s")
    found = read_parents(tmp_path, {"resolved": {"extended_from": "/runs/a"}})
    assert [parent.to_json() for parent in found] == [{"kind": "extend", "from": "/runs/a"}, {"kind": "study", "from": str(tmp_path / "s")}]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"kind": "tune"}', '{"kind": "magic", "from": "x"}', '{"kind": "tune", "from": 3}', "\xff"]
)
def test_a_lineage_that_was_changed_by_hand_tells_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / LINEAGE).write_bytes(text.encode("latin-1"))
    assert read_parents(tmp_path, {"resolved": {"extended_from": None}}) == []


@pytest.mark.parametrize("config", [{}, {"resolved": None}, {"resolved": "x"}])
def test_a_run_without_parents(config: dict[str, object], tmp_path: Path) -> None:
    assert read_parents(tmp_path, config) == []
