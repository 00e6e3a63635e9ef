"""What must hold of every page: its elements close, nothing in it runs or comes from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
BLOCKS = frozenset({"dd", "div", "dt", "h1", "h2", "h3", "label", "li", "option", "p", "td", "th"})
ADDRESSES = ("href", "src", "action", "hx-get", "hx-sse:connect", "formaction", "poster", "data")


class Read(HTMLParser):
    """Raises what is wrong as AssertionError; `text` is what a reader sees, `seen` the elements."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        assert len(told) == len(attrs), f"<{tag}> has an attribute twice: {attrs}"
        self._check(tag, told)
        self.seen.append((tag, told))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()} closes another element"
        self.text += " " if tag in BLOCKS else ""

    def handle_data(self, data: str) -> None:
        assert self.open[-1:] != ["script"] or not data.strip(), (
            f"a script in the page: {data[:80]}"
        )
        self.text += data

    def _check(self, tag: str, told: dict[str, str]) -> None:
        for name, value in told.items():
            assert not name.startswith("on"), f"<{tag} {name}> runs something"
            assert name not in ("style", "hx-on"), f"<{tag} {name}> is against the policy"
            if name in ADDRESSES:
                assert re.match(r"/(?!/)|#|\?", value), f"<{tag} {name}={value!r}> leads outside"
        if id := told.get("id"):
            assert id not in self.ids, f"id {id!r} twice"
            self.ids.add(id)


def read(page: str) -> Read:
    return Read(page)
