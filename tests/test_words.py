"""Two languages, one set of sentences."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

import seefit.report
from seefit.errors import UsageError
from seefit.report.record import Figure
from seefit.report.wording import KINDS
from seefit.report.words import LANGUAGES, Words

FOLDER = Path(seefit.report.__file__).parent
ELSEWHERE = ("serve.", *(f"{kind}." for kind in KINDS))  # checked in test_serve_page.py and test_wording.py


def catalogue(lang: str) -> dict[str, str]:
    text = resources.files("seefit.report").joinpath("strings", f"{lang}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def places(sentence: str) -> list[str]:
    return sorted(set(re.findall(r"\{(\w+)\}", sentence)))


def test_both_languages_hold_the_same_sentences_with_the_same_places() -> None:
    english, chinese = catalogue("en"), catalogue("zh")
    assert list(english) == list(chinese)
    assert {key: places(text) for key, text in english.items()} == {key: places(text) for key, text in chinese.items()}
    assert all(text.strip() for text in [*english.values(), *chinese.values()])


def test_every_sentence_is_used_and_every_used_sentence_exists() -> None:
    """Keys are literal, or literal but for one place: "part.{part}"."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in [*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html")])
    literal = set(re.findall(r"""["']((?:[a-z]+\.)[a-z_.]+)["']""", source))
    shaped = {re.sub(r"\{[^}]*\}", "[a-z_0-9]+", key) for key in re.findall(r"""["']([a-z]+\.[a-z_.{}]*\{[a-z.]+\}[a-z_.]*)["']""", source)}
    shaped |= {f"{key}[a-z_]+" for key in re.findall(r"t\('([a-z]+\.)' ~", source)}
    unused = [
        key
        for key in catalogue("en")
        if not key.startswith(ELSEWHERE) and key not in literal and not any(re.fullmatch(shape, key) for shape in shaped)
    ]
    assert unused == []
    spoken = set(re.findall(r"""\b(?:words|t)\(\s*["']([a-z_.]+)["']""", source))
    assert {key for key in spoken if not key.endswith(".")} <= set(catalogue("en"))


def test_numbers_are_written_in_the_manner_of_the_language() -> None:
    assert Words("en").percent(0.8625) == "86.2\u00a0%"
    assert Words("zh").percent(0.8625) == "86.2%"
    figure = Figure(0.9, 0.85, 0.95)
    assert Words("en").interval("accuracy", figure) == "85.0 to 95.0\u00a0%"
    assert Words("en").value("auc", figure) == "0.900"
    assert Words("en").value("auc", None) == "–"
    assert Words("en").interval_short(figure) == "85–95"
    assert Words("en").interval("accuracy", Figure(0.9)) == Words("en").interval("gain", Figure(0.9)) == "interval unknown"
    assert Words("en").interval_short(Figure(0.9)) == "–"


def test_sentences_stand_one_after_another_as_the_language_has_it() -> None:
    assert (Words("en").sentences("A.", "B."), Words("zh").sentences("甲。", "乙。")) == ("A. B.", "甲。乙。")


def test_leads_are_written_with_their_sign() -> None:
    words = Words("en")
    assert [words.signed(share) for share in (0.134, -0.0025, 0.00001, 0.0, -0.2)] == ["+13", "−0.2", "+0.1", "0", "−20"]
    figure = Figure(0.134, -0.0025, 0.47)
    assert (words.value("gain", figure), words.interval("gain", figure)) == ("+13.4 points", "−0.2 to +47.0")


@pytest.mark.parametrize(("share", "text"), [(0, "0"), (0.0001, "0.1"), (0.34, "34"), (0.993, "99.3"), (0.99999, "99.9"), (1, "100")])
def test_of_100_never_claims_all_or_none(share: float, text: str) -> None:
    assert Words("en").of_100(share) == text


def test_chances_never_claim_certainty() -> None:
    words = Words("en")
    assert words.chance(0.9999) == "over 99\u00a0%"
    assert words.chance(0.0001) == "under 1\u00a0%"
    assert words.chance(0.2, known=False) == "under 20\u00a0%"
    assert words.chance(0.2) == "20\u00a0%"


def test_names_are_quoted_cut_and_counted() -> None:
    words = Words("en")
    assert words.names(["a", "b{0}"]) == "“a”, “b{0}”"
    assert words.names(["a", "b", "c", "d", "e"]) == "“a”, “b”, “c” and 2 more"


def test_unknown_language() -> None:
    with pytest.raises(UsageError) as caught:
        Words("cn")
    assert caught.value.message == "Unknown language: cn. Expected a known language, got 'cn'."
    assert caught.value.hint == "Did you mean 'en'? Choose one of: en, zh."
    assert LANGUAGES == ("en", "zh")
