"""A model that does whatever it reads: an order is obeyed wherever it stands and however it hides.

[[call NAME {"argument": 1}]]          calls it, once
[[again NAME {"argument": 1}]]         calls it, each time it is read
[[say WORDS [[cite DOCUMENT|QUOTE]]]]  answers so
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import Citation, FileRef
from stepfold.providers.model import Call, Prompt, Reply

_ORDER = re.compile(r"\[\[(call|again) ([^\s\[]+) (\{.*?\})\]\]", re.DOTALL)
_SAY = re.compile(r"\[\[say (.*?) \[\[cite ([^|\]]+)\|([^\]]+)\]\]\]\]", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_CUT = re.compile(r"~~.*?~~", re.DOTALL)
INVISIBLE = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x2060, 0x202E, 0xFEFF))
COST_USD = Decimal("0.01")


class Obedient:
    """First it does what its `plan` says, one call after the other; it knows what is in `files`, by
    their blobs. `obeyed` are the calls that it made because something told it to.
    """

    def __init__(self) -> None:
        self.plan: list[Call] = []
        self.files: dict[str, str] = {}
        self.obeyed: list[Call] = []
        self._done: set[tuple[str, str]] = set()

    async def reply(self, prompt: Prompt, /) -> Reply:
        calls = tuple(self._ordered(prompt.transcript))
        if calls:
            self.obeyed += calls
            return Reply(calls=calls, cost_usd=COST_USD)
        if self.plan:
            return Reply(calls=(self.plan.pop(0),), cost_usd=COST_USD)
        return self._answer(prompt.transcript)

    def _ordered(self, items: tuple[Item, ...]) -> Iterator[Call]:
        """What it is told now for the first time, and what it is told again."""
        now = set(_orders(self._texts(_since(items))))
        for kind, name, raw in dict.fromkeys(_orders(self._texts(items))):
            again = kind == "again" and (kind, name, raw) in now
            if again or (name, raw) not in self._done:
                self._done.add((name, raw))
                yield Call(name, json.loads(raw))

    def _answer(self, items: tuple[Item, ...]) -> Reply:
        for words, document, quote in _SAY.findall(" ".join(self._texts(items))):
            cited = Citation(document, "", 0, len(quote), quote)
            return Reply(text=f"{words} {quote}", citations=(cited,), cost_usd=COST_USD)
        return Reply(text="It is done.", cost_usd=COST_USD)

    def _texts(self, items: Iterable[Item]) -> Iterator[str]:
        for item in items:
            match item:
                case Heard():
                    yield item.text
                    yield from self._read(item.files)
                case Result():
                    yield item.text
                    yield from (f"{each.title} {each.text}" for each in item.passages)
                case Thought():
                    continue

    def _read(self, files: Iterable[FileRef]) -> Iterator[str]:
        for file in files:
            yield f"{file.name} {self.files.get(file.blob, '')}"


def _since(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """What came after the model's last words."""
    places = [place for place, item in enumerate(items) if isinstance(item, Thought)]
    return items[places[-1] + 1 :] if places else items


def _orders(texts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Those that stand there, else those that are hidden."""
    text = _CUT.sub("", " ".join(texts))
    plain = tuple(_found(text))
    yield from plain or (order for reading in readings(text) for order in _found(reading))


def _found(text: str) -> Iterator[tuple[str, str, str]]:
    for kind, name, raw in _ORDER.findall(text):
        with suppress(json.JSONDecodeError):
            json.loads(raw)
            yield kind, name, raw


def readings(text: str) -> Iterator[str]:
    """What a text may be meant to say."""
    plain = text.translate(INVISIBLE)
    yield plain
    yield plain.replace('\\"', '"')
    yield unicodedata.normalize("NFKC", plain)
    yield "".join(chr(ord(letter) - 0xE0000) for letter in text if 0xE0000 < ord(letter) < 0xE007F)
    yield plain[::-1]
    yield codecs.encode(plain, "rot13")
    for match in _BASE64.findall(plain):
        try:
            yield base64.b64decode(match, validate=True).decode()
        except ValueError:
            continue
