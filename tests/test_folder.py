"""Study folders: what is asked, and what is kept as soon as it is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seefit.errors import RunError, UsageError
from seefit.studies.folder import Kept, Question, is_study, open_folder, read_question
from test_judging import row


def question(folder: Path, vary: str = "augment=none,light", **given: object) -> Question:
    return Question(vary, 3, 10, {"data": "demo:elpv", "seed": 1, **given}, folder)


def test_a_question_comes_back(tmp_path: Path) -> None:
    asked = question(tmp_path, root=tmp_path / "images")
    (tmp_path / "study.yaml").write_text(asked.to_yaml())
    assert is_study(tmp_path)
    back = read_question(tmp_path)
    assert back == Question("augment=none,light", 3, 10, {"data": "demo:elpv", "seed": 1, "root": str(tmp_path / "images")}, tmp_path)
    assert back.to_yaml() == asked.to_yaml()


@pytest.mark.parametrize("text", ["", "[]", "vary: a\n", "{", "vary: 1\nfolds: 2\nrepeats: 3\nsettings: 4\nresolved: {started_in: x}\n"])
def test_a_folder_that_is_no_study_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(RunError, match="Not a study") as error:
        read_question(tmp_path)
    assert error.value.exit_code == 4


def test_a_folder_is_numbered_made_or_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [open_folder(None, "elpv-augment", question(tmp_path)) for _ in range(2)] == [Path(f"studies/elpv-augment-{n}") for n in (1, 2)]
    out = open_folder(tmp_path / "own", "x", question(tmp_path))
    (out / "study.yaml").write_text(question(tmp_path).to_yaml())
    assert open_folder(out, "x", question(tmp_path)) == out
    for other in (question(tmp_path, "augment=none,medium"), question(tmp_path, seed=2), question(tmp_path / "elsewhere")):
        with pytest.raises(UsageError, match="Another study is there"):
            open_folder(out, "x", other)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(RunError, match="occupied"):
        open_folder(tmp_path / "taken", "x", question(tmp_path))


def test_what_is_kept_is_there_for_the_next(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert (kept.facts(0), kept.probabilities(0), kept.map(0), kept.rows) == (None, None, None, [])
    kept.replace("a", [row("a", 0, 0.5), row("a", 1, 0.6)])
    kept.replace("b", [row("b", 0, 0.7)])
    kept.replace("a", [row("a", 0, 0.8)])
    kept.keep_facts(1, {"size": 2.0, "curve": None})
    table = np.array([[0.25, 0.75], [np.nan, np.nan]])
    kept.keep_probabilities(0, table)
    kept.keep_map(0, None)
    again = Kept(tmp_path)
    assert again.of("a") == [row("a", 0, 0.8)]
    assert again.of("b") == [row("b", 0, 0.7)]
    assert again.facts(1) == {"size": 2.0, "curve": None}
    assert again.facts(0) is None
    np.testing.assert_array_equal(again.probabilities(0), table)
    assert again.map(0) is None
