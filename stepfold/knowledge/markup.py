"""HTML to plain text that still shows its headings, lists and rows, in Markdown's own signs.

Scripts, styles and other things nobody reads are left out; so is every attribute.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_UNREAD = frozenset({"script", "style", "template", "noscript", "svg", "head"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "details", "div", "dl", "dt", "fieldset"),
        *("figcaption", "figure", "footer", "form", "header", "hr", "main", "nav", "ol", "p"),
        *("pre", "section", "summary", "table", "tbody", "tfoot", "thead", "ul", "dd"),
    }
)
_GAPS = re.compile(r"\n\s*\n\s*")


def plain(markup: str) -> tuple[str, str]:
    """The title (may be empty) and the text of an HTML page."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    text = _GAPS.sub("\n\n", "".join(reader.parts)).strip()
    return " ".join((reader.title or reader.heading).split()), text


class _Reader(HTMLParser):
    """Collects text; whitespace is folded as a browser does, except inside `pre`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self.heading = ""
        self._unread = 0
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag in _HEADINGS:
            self._break("\n\n" + _HEADINGS[tag])
        elif tag == "li":
            self._break("\n- ")
        elif tag in ("br", "tr"):
            self._break("\n")
        elif tag in ("td", "th"):
            self._break(" | ")
        elif tag in _BLOCKS:
            self._break("\n\n")
        if tag in ("title", "pre") or (tag == "h1" and not self.heading):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread = max(0, self._unread - 1)
        elif tag in _HEADINGS or tag in _BLOCKS:
            self._break("\n\n")
        if tag in self._open:
            self._open.remove(tag)

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data
        elif self._unread:
            return
        elif "pre" in self._open:
            self.parts.append(data)
        else:
            self._say(re.sub(r"\s+", " ", data))

    def _say(self, text: str) -> None:
        if "h1" in self._open:
            self.heading += text
        bare = not self.parts or self.parts[-1].endswith(("\n", " "))
        self.parts.append(text.lstrip() if bare else text)

    def _break(self, sign: str) -> None:
        if self._unread:
            return
        if sign == " | " and self.parts and self.parts[-1].endswith("\n"):
            sign = "| "
        self.parts.append(sign)
