"""The sentences that a run's files hold in English, said again in the language of a page.

Notes, leaks, reasons and errors are written once, by the code that finds them, for the console and the files. The catalogue holds
each of them again under its kind, in both languages: the English text finds the key and the values, the other language says them.
A sentence that it does not know, of another version of seefit, is shown as it stands.
"""

from __future__ import annotations

import re
from functools import cache

from seefit.report.words import Words

KINDS = ("note", "skip", "count", "named", "view", "fault", "expected", "got", "hint")
NUMBERS = frozenset({"n", "total", "low", "high", "size"})
_NUMBER, _ANYTHING = r"[−+-]?[\d,.]+", r".+?"
_BETWEEN = re.compile(r"[,;] (?![^(]*\))")  # the parts of a list, but not what stands in brackets


def reword(words: Words, kind: str, text: str) -> str:
    """Say an English sentence, or a list of them, in the language of the page.

    Args:
        words: The language.
        kind: One of `KINDS`: where the catalogue holds it. Places of a sentence that are named after a kind are said again, too.
        text: As the code that found it wrote it.
    """
    if words.lang == "en":
        return text
    for parts in (_BETWEEN.split(text), [text]):
        said = [_said(words, kind, part) for part in parts]
        if None not in said:
            return words("format.comma").join(map(str, said))
    return text


def _said(words: Words, kind: str, text: str) -> str | None:
    for key, pattern in _patterns(kind).items():
        match = pattern.fullmatch(text)
        if match:
            return words(key, **{name: reword(words, name, value) if name in KINDS else value for name, value in match.groupdict().items()})
    return None


@cache
def _patterns(kind: str) -> dict[str, re.Pattern[str]]:
    """Return what finds each English sentence of a kind, by its key."""
    return {f"{kind}.{key}": _pattern(text) for key, text in Words("en").under(f"{kind}.").items()}


def _pattern(text: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", text)
    named = (f"(?P<{name}>{_NUMBER if name in NUMBERS else _ANYTHING})" for name in pieces[1::2])
    return re.compile("".join(re.escape(piece) + place for piece, place in zip(pieces[::2], [*named, ""], strict=True)), re.DOTALL)
