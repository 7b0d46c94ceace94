"""The demo sets, as the ELPV protocol describes them."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections import Counter

import pytest

from seefit.data.demo import elpv_table
from seefit.data.sources import read_dataset
from seefit.errors import ResourceError, UsageError


def test_elpv_follows_the_protocol() -> None:
    dataset = read_dataset("demo:elpv")
    assert len(dataset) == 2624
    assert dataset.classes == ("defective", "functional")
    assert dataset.balance() == {"all": {"defective": 821, "functional": 1803}}
    by_p = {0.0: ("functional", 1.0), 1 / 3: ("functional", 1 / 3), 2 / 3: ("defective", 2 / 3), 1.0: ("defective", 1.0)}
    for sample, cell in zip(dataset.samples, elpv_table(), strict=True):
        assert sample.name == cell.name
        assert (sample.label, sample.weight) == by_p[cell.p]
        assert sample.target == (cell.p, 1 - cell.p)
        assert sample.group == cell.group
    assert all(sample.path.is_file() for sample in dataset.samples[::500])
    assert Counter(sample.weight for sample in dataset.samples) == {1.0: 2223, 1 / 3: 295, 2 / 3: 106}


def test_elpv_groups_are_blocks_of_sixty_within_a_type() -> None:
    table = elpv_table()
    sizes = Counter(cell.group for cell in table)
    assert len(sizes) == 45
    assert max(sizes.values()) == 60
    for _, cells in itertools.groupby(table, key=lambda cell: cell.type):
        run = list(cells)
        assert [sizes[group] for group in dict.fromkeys(cell.group for cell in run)][:-1] == [60] * ((len(run) - 1) // 60)
    assert all(len({cell.type for cell in table if cell.group == group}) == 1 for group in sizes)


def test_elpv_says_that_groups_are_an_approximation() -> None:
    assert "an approximation of the 44 modules" in read_dataset("demo:elpv").notes[0]


def test_elpv_mono_is_the_mono_cells_of_elpv() -> None:
    mono = {cell.name for cell in elpv_table() if cell.type == "mono"}
    everything = {sample.name: sample for sample in read_dataset("demo:elpv").samples}
    dataset = read_dataset("demo:elpv-mono")
    assert len(dataset) == len(mono) == 1074
    assert dataset.samples == [everything[sample.name] for sample in dataset.samples]
    assert {sample.name for sample in dataset.samples} == mono


def test_groups_of_a_demo_set_can_be_dropped_and_made() -> None:
    assert not read_dataset("demo:elpv", group_by="none").has_groups
    assert read_dataset("demo:elpv", group_by=r"cell(\d\d)").samples[0].group == "00"


def test_an_unknown_demo_set() -> None:
    with pytest.raises(UsageError) as caught:
        read_dataset("demo:elvp")
    assert caught.value.hint == "Did you mean 'elpv'? Choose one of: elpv, elpv-mono."


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError) as caught:
        read_dataset("demo:elpv")
    assert caught.value.exit_code == 6
    assert caught.value.hint == "Run `pip install 'seefit[demo]'`."


def test_the_loader_of_the_package_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "elpv_dataset"]:
        monkeypatch.delitem(sys.modules, name)
    read_dataset("demo:elpv")
    assert not any(name.split(".")[0] == "elpv_dataset" for name in sys.modules)
