"""What a backtest counts, and how it tells it: so many calls and answers that were one thing and
would be another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from stepfold.events.values import Outcome
from stepfold.streams.archive import Key

EXAMPLES_MAX = 3
"""Conversations that are named for each way in which something would be another."""

Verdict = Literal["allowed", "approval", "refused"]
Happened = Literal["allowed", "approval", "refused", "open"]
"""`open`: nothing was decided before the turn or the log ended."""


class Example(Struct, frozen=True):
    conversation: str
    reason: str


class Change(Struct, frozen=True):
    """So many calls of a tool, or answers, that were `was` and would be `now`."""

    was: str
    now: str
    number: int
    examples: tuple[Example, ...]


class Calls(Struct, frozen=True):
    """The calls of one tool: what would become of them, and how many of them that changes."""

    tool: str
    calls: int
    allowed: int
    approval: int
    refused: int
    changed: int
    changes: tuple[Change, ...] = ()


class Answered(Struct, frozen=True):
    """The answers that were given, and what the rules would make of them; `shortened` ones are
    given in part. `elsewhere` counts the turns in a channel where the agent does not answer.
    """

    answers: int = 0
    refused: int = 0
    handed_off: int = 0
    shortened: int = 0
    changed: int = 0
    changes: tuple[Change, ...] = ()
    turns: int = 0
    elsewhere: int = 0


class Report(Struct, frozen=True):
    """`agents` are the names of those whose conversations were looked at. Of the tools `unknown`
    nobody said what they do: they are taken as reaching the world, and not trusted.
    """

    agents: tuple[str, ...]
    conversations: int
    unreadable: int
    calls: tuple[Calls, ...]
    answered: Answered
    unknown: tuple[str, ...] = ()


class Wanted(Struct, frozen=True):
    """A call, and what would become of it now."""

    tool: str
    now: Verdict
    reason: str


class Tally:
    """What is counted of the conversations of one agent's name."""

    def __init__(self) -> None:
        self.conversations = self.unreadable = self.turns = self.elsewhere = self._cut = 0
        self._calls: Counter[tuple[str, Happened, Verdict]] = Counter()
        self._answers: Counter[tuple[Outcome, Outcome]] = Counter()
        self._examples: dict[tuple[str, ...], dict[str, str]] = {}

    def call(self, key: Key, wanted: Wanted, happened: Happened, reason: str) -> None:
        """`reason` is why it happened so."""
        self._calls[wanted.tool, happened, wanted.now] += 1
        if happened not in (wanted.now, "open"):
            self._example((wanted.tool, happened, wanted.now), key, wanted.reason or reason)

    def answer(self, key: Key, was: Outcome, now: Outcome, reason: str, *, cut: bool) -> None:
        self._answers[was, now] += 1
        self._cut += cut
        if was != now:
            self._example((was, now), key, reason)

    def _example(self, what: tuple[str, ...], key: Key, reason: str) -> None:
        examples = self._examples.setdefault(what, {})
        if len(examples) < EXAMPLES_MAX:
            examples.setdefault("/".join(key), reason)

    def add(self, other: Tally) -> None:
        self.turns += other.turns
        self.elsewhere += other.elsewhere
        self._cut += other._cut
        self._calls += other._calls
        self._answers += other._answers
        for what, examples in other._examples.items():
            mine = self._examples.setdefault(what, {})
            for name, reason in examples.items():
                if len(mine) < EXAMPLES_MAX:
                    mine.setdefault(name, reason)

    def tools(self) -> set[str]:
        return {tool for tool, _, _ in self._calls}

    def calls(self) -> Iterator[Calls]:
        for tool in sorted(self.tools()):
            mine = {(was, now): n for (name, was, now), n in self._calls.items() if name == tool}
            changes = self._changes(mine, (tool,))
            yield Calls(
                tool,
                calls=sum(mine.values()),
                allowed=sum(n for (_, now), n in mine.items() if now == "allowed"),
                approval=sum(n for (_, now), n in mine.items() if now == "approval"),
                refused=sum(n for (_, now), n in mine.items() if now == "refused"),
                changed=sum(change.number for change in changes),
                changes=changes,
            )

    def answered(self) -> Answered:
        changes = self._changes(self._answers, ())
        counted = Counter({"answer": 0, "refusal": 0, "hand_off": 0})
        for (_, now), number in self._answers.items():
            counted[now] += number
        return Answered(
            answers=sum(self._answers.values()),
            refused=counted["refusal"],
            handed_off=counted["hand_off"],
            shortened=self._cut,
            changed=sum(change.number for change in changes),
            changes=changes,
            turns=self.turns,
            elsewhere=self.elsewhere,
        )

    def _changes(self, numbers: Mapping[Any, int], of: tuple[str, ...]) -> tuple[Change, ...]:
        return tuple(
            Change(was, now, number, self._told((*of, was, now)))
            for (was, now), number in sorted(numbers.items())
            if was not in (now, "open")
        )

    def _told(self, what: tuple[str, ...]) -> tuple[Example, ...]:
        return tuple(Example(name, why) for name, why in self._examples.get(what, {}).items())
