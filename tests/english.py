"""English words where a page in Chinese should have none."""

from __future__ import annotations

import re
from html.parser import HTMLParser

NO_PROSE = {"style", "code"}  # commands are not sentences
SPOKEN = {"alt", "aria-label", "title"}
ENGLISH = re.compile(r"[A-Za-z'’-]{2,}(?:[,;:]? [A-Za-z'’-]+){2,}")


def english(html: str) -> list[str]:
    """Return each run of three or more English words that a reader of the page sees or hears, commands left out."""
    page = _Texts()
    page.feed(html)
    return [found for text in page.texts for found in ENGLISH.findall(text)]


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in NO_PROSE
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in NO_PROSE

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.texts.append(data)
