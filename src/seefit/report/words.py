"""The words of the report: one catalogue per language, and numbers written for people."""

from __future__ import annotations

import json
from importlib import resources

from seefit.drawing import shown
from seefit.errors import unknown_name
from seefit.report.record import Figure

LANGUAGES = ("en", "zh")


class Words:
    """All sentences of one language.

    Args:
        lang: ``en`` or ``zh``.

    Raises:
        UsageError: The language is not one of them.
    """

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            unknown_name("language", lang, LANGUAGES)
        self.lang = lang
        text = resources.files("seefit.report").joinpath("strings", f"{lang}.json").read_text(encoding="utf-8")
        self._sentences: dict[str, str] = json.loads(text)

    def __call__(self, key: str, **values: object) -> str:
        """Return the sentence ``key`` with its places filled."""
        return self._sentences[key].format(**values)

    def has(self, key: str) -> bool:
        """Return whether the catalogue holds ``key``."""
        return key in self._sentences

    def under(self, prefix: str) -> dict[str, str]:
        """Return the sentences whose keys begin with ``prefix``, by what follows it, their places not filled."""
        return {key.removeprefix(prefix): text for key, text in self._sentences.items() if key.startswith(prefix)}

    def percent(self, share: float, digits: int = 1) -> str:
        """Write a share as a percentage."""
        return self("format.percent", number=f"{100 * share:.{digits}f}")

    def of_100(self, share: float) -> str:
        """Write a share as a number out of 100, never rounded to all or none of them."""
        number = 100 * share
        if 0 < number < 1 or 99 < number < 100:
            return f"{min(max(number, 0.1), 99.9):.1f}"
        return f"{number:.0f}"

    def signed(self, share: float, digits: int = 0) -> str:
        """Write a difference of shares in points with its sign, which rounding never takes away."""
        size = abs(100 * share)
        digits = 1 if size < 1 else digits
        return "0" if size == 0 else f"{'+' if share > 0 else '−'}{max(size, 0.1):.{digits}f}"

    def chance(self, probability: float, *, known: bool = True) -> str:
        """Write a probability in whole percents, never as none or all; ``known`` is False for an upper bound."""
        if not known or probability < 0.005:
            return self("format.under", value=self.percent(max(probability, 0.01), 0))
        return self("format.over", value=self.percent(0.99, 0)) if probability > 0.995 else self.percent(probability, 0)

    def value(self, name: str, figure: Figure | None) -> str:
        """Write a metric's value: losses as plain numbers, everything else in percent."""
        if figure is None:
            return "–"
        if name in DIFFERENCES:
            return self("format.points", number=self.signed(figure.value, 1))
        return f"{figure.value:.3f}" if name in PLAIN else self.percent(figure.value)

    def interval(self, name: str, figure: Figure | None) -> str:
        """Write a metric's interval in the same way; say so where it is unknown."""
        if figure is None:
            return "–"
        if figure.low is None or figure.high is None:
            return self("format.interval_unknown")
        if name in DIFFERENCES:
            return self("format.interval", low=self.signed(figure.low, 1), high=self.signed(figure.high, 1))
        low, high = (f"{end:.3f}" if name in PLAIN else f"{100 * end:.1f}" for end in (figure.low, figure.high))
        return self("format.interval" if name in PLAIN else "format.interval_percent", low=low, high=high)

    def interval_short(self, figure: Figure) -> str:
        """Write an interval of shares in whole percents, without the sign; a dash where it is unknown."""
        if figure.low is None or figure.high is None:
            return "–"
        return f"{100 * figure.low:.0f}–{100 * figure.high:.0f}"

    def sentences(self, *sentences: str) -> str:
        """Write sentences one after another, with a space between them where the language has one."""
        return ("" if self.lang == "zh" else " ").join(sentences)

    def names(self, names: list[str], most: int = 3) -> str:
        """Write a few class names in quotes, and how many more there are."""
        first = self("format.comma").join(self("format.quoted", name=shown(name, 40)) for name in names[:most])
        return first if len(names) <= most else self("format.and_more", first=first, count=f"{len(names) - most:,}")


PLAIN = frozenset({"auc", "nll", "brier"})
DIFFERENCES = frozenset({"gain"})
