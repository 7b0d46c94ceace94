"""The images of a study, and labels that a person corrected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seefit.errors import UsageError
from seefit.gathering import Gathered, gather
from seefit.settings import make_settings
from seefit.studies.pool import fixed_rows, learnt_labels, make_pool, rows_of

HEADER = "path,label,action,suggested,reason,score,confirm,sha256"


@pytest.fixture
def gathered(warm: Path) -> Gathered:
    return gather(make_settings({"data": str(warm)}), None)


def confirm(path: Path, gathered: Gathered, names: dict[str, str]) -> Path:
    """Write confirmed fixes: name of an image → its new label, nothing to remove it."""
    lines = [HEADER]
    for row in rows_of(gathered):
        if row.path in names:
            action = "relabel" if names[row.path] else "remove"
            lines.append(f"{row.path},{row.label},{action},{names[row.path]},x,1,yes,{row.sha256}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_test_part_is_not_in_the_pool(gathered: Gathered) -> None:
    pool = make_pool(gathered)
    test = {gathered.seen.samples[i].name for i in gathered.split.index("test")}
    assert test
    assert not test & {sample.name for sample in pool.part.samples}
    assert len(pool.labels) == len(pool.sizes) == len(gathered.seen.samples) - len(test)
    assert pool.groups is None
    assert [pool.classes[code] for code in pool.labels] == [sample.label for sample in pool.part.samples]


def test_images_are_in_the_order_of_their_content(gathered: Gathered) -> None:
    assert make_pool(gathered).part.sha256 == sorted(make_pool(gathered).part.sha256)


def test_the_digest_changes_with_images_and_labels(gathered: Gathered) -> None:
    from dataclasses import replace

    pool = make_pool(gathered)
    fewer = replace(pool, part=pool.part.subset(np.arange(len(pool.labels) - 1)))
    samples = [replace(pool.part.samples[0], label="other"), *pool.part.samples[1:]]
    other = replace(pool, part=replace(pool.part, samples=samples))
    assert len({pool.digest, fewer.digest, other.digest, make_pool(gathered).digest}) == 3


def test_fixes_change_what_is_learnt_and_never_the_test_part(gathered: Gathered, tmp_path: Path) -> None:
    pool = make_pool(gathered)
    first, second = pool.part.samples[0], pool.part.samples[1]
    test = gathered.seen.samples[gathered.split.index("test")[0]]
    other = {name: next(c for c in pool.classes if c != name) for name in pool.classes}
    names = {first.name: other[first.label or ""], second.name: "", test.name: other[test.label or ""]}
    fixes = confirm(tmp_path / "fixes.csv", gathered, names)
    labels = learnt_labels(gathered, pool, fixes)
    assert labels[0] == 1 - pool.labels[0]
    assert labels[1] == -1
    np.testing.assert_array_equal(labels[2:], pool.labels[2:])
    rows = {row.path: row for row in fixed_rows(gathered, fixes)}
    assert second.name not in rows
    assert rows[first.name].label == names[first.name]
    assert rows[test.name].label == test.label
    np.testing.assert_array_equal(learnt_labels(gathered, pool, None), pool.labels)


def test_fixes_that_nobody_confirmed_are_refused(gathered: Gathered, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Nothing to apply"):
        fixed_rows(gathered, confirm(tmp_path / "fixes.csv", gathered, {}))
