"""Finds operations by what somebody wants: BM25 over their names, paths, tags, texts and arguments.

What the phrase says counts most, then what its words are called elsewhere. Who asks a question
wants a read, who gives an order a write; who says nothing of many things wants one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from stepfold.knowledge.bm25 import Scorer
from stepfold.knowledge.terms import terms
from stepfold.tools.openapi.effects import words
from stepfold.tools.openapi.operation import Operation
from stepfold.tools.openapi.thesaurus import also

PHRASE_CHARS_MAX = 1_000
SAID_TIMES = 4
"""A term counts by the square root of how often it is said: so twice what it may also mean."""
WANTED_FACTOR = 1.3
MANY_FACTOR = 0.7
ACTION_FACTOR = 1.4
ARGUMENTS_MAX = 60

_ACTIONS: tuple[tuple[str, str], ...] = (
    ("find search lookup look", "search find lookup autocomplete list"),
    ("add create file new open register write", "create add post new"),
    ("assign change close correct edit rename set solve update", "update set put change edit"),
    ("cancel delete drop erase remove", "delete remove destroy cancel permanently"),
    ("all list what which who", "list search get"),
    ("count", "count"),
    ("details get read see show view", "show get retrieve read"),
)
"""How a phrase begins, and how the names of the operations begin that do such a thing."""
_BEGINS = {word: set(names.split()) for begins, names in _ACTIONS for word in begins.split()}
_ORDERS = frozenset(
    {
        *("add", "assign", "block", "bring", "cancel", "change", "close", "create", "delete"),
        *("disable", "enable", "erase", "export", "give", "hide", "import", "let", "log", "make"),
        *("mark", "merge", "move", "open", "put", "remove", "rename", "reply", "reset", "restore"),
        *("send", "set", "sign", "start", "stop", "tag", "take", "this", "update", "upload"),
    }
)
_CUSTOMER = frozenset({"customer", "customers"})
_MANY = re.compile(r"\b(bulk|many|mass|several|multiple|batch|all|every)\b", re.IGNORECASE)
_FOR_MANY = frozenset({"bulk", "many", "batch", "import", "export", "incremental"})


class Search:
    """The same operations and phrase always give the same, ties in the description's order."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = tuple(operations)
        self._fields = tuple(
            (weight, Scorer.build([_terms(text(each)) for each in operations]))
            for text, weight in FIELDS
        )

    def find(self, phrase: str, count: int) -> tuple[Operation, ...]:
        """The `count` best; fewer where fewer share a term with the phrase."""
        phrase = phrase[:PHRASE_CHARS_MAX]
        begin = (words(phrase) or [""])[0]
        said = phrase.lower().partition(begin)[2] if begin in _BEGINS else phrase
        asked = [*_terms(said) * SAID_TIMES, *_terms(begin), *also(phrase)]
        scores: dict[int, float] = defaultdict(float)
        for weight, scorer in self._fields:
            for entry, score in scorer.best(asked):
                scores[entry] += score * weight
        for entry in scores:
            scores[entry] *= _factor(self._operations[entry], phrase)
        best = sorted(scores, key=lambda entry: (-scores[entry], entry))
        return tuple(self._operations[entry] for entry in best[:count])


def _factor(operation: Operation, phrase: str) -> float:
    begin = (words(phrase) or [""])[0]
    name = words(operation.name)
    factor = WANTED_FACTOR if operation.reads != (begin in _ORDERS) else 1.0
    if _FOR_MANY & set(name) and not _MANY.search(phrase):
        factor *= MANY_FACTOR
    if name[:1] and name[0] in _BEGINS.get(begin, ()):
        factor *= ACTION_FACTOR
    return factor


def _terms(text: str) -> list[str]:
    """A customer is not custom, though both have the same stem."""
    return terms(" ".join("client" if word in _CUSTOMER else word for word in words(text)))


def _arguments(operation: Operation) -> str:
    return " ".join(islice(_names(operation.parameters), ARGUMENTS_MAX))


def _names(schema: Any) -> Iterator[str]:
    """The names of all arguments, and of what is in them."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties":
                yield from value
            yield from _names(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _names(each)


FIELDS: tuple[tuple[Callable[[Operation], str], float], ...] = (
    (lambda each: each.name, 3),
    (lambda each: each.description, 2),
    (lambda each: " ".join(each.tags), 1),
    (lambda each: each.path, 1),
    (lambda each: each.about, 0.5),
    (_arguments, 0.5),
)
"""The texts of an operation, each scored by itself, and how much each counts."""
