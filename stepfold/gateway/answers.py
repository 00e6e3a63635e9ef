"""The answer to one message as it comes, for clients that cannot unsay what they were told.

The words of a call go on at once. Where they are taken back (the model failed and was asked again,
another worker took over), what is said anew must begin with what a client has: only the rest of it
is told, so that nothing is told twice. Where it does not, the answer ends as `unsaid`, and what was
said in truth is in the log. What an agent's rules may still turn down is told when it has passed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalRequested,
    CodeRequested,
    ConversationStopped,
    Event,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Arguments, Text, ToolCall, Usage
from stepfold.gateway.front import Front
from stepfold.gateway.items import (
    Began,
    Called,
    Ended,
    Given,
    Item,
    Kind,
    Piece,
    Settled,
    Thought,
    Told,
    Waits,
)
from stepfold.gateway.placing import placed, titles_in
from stepfold.gateway.principal import CHAT, READ, Principal
from stepfold.gateway.steps import hears_words
from stepfold.policy.agent import SEARCH
from stepfold.projections.conversation import evolve, replay
from stepfold.streams.listening import Happening, Words
from stepfold.streams.listening import TakenBack as WordsTakenBack

UNSAID = (
    "the words before this were taken back, because the model failed and was asked again: what was"
    " said in the end is in the conversation"
)


class Speech:
    """One part: what a client was told of it, and what is said now."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.sent = ""
        self._now = ""

    def take_back(self) -> None:
        self._now = ""

    def hear(self, text: str) -> str | None:
        """What is new to a client in these words; None where they contradict what it was told."""
        self._now += text
        if self.sent.startswith(self._now):
            return ""
        return self._rest()

    def settle(self, whole: str) -> str | None:
        """What is missing of the whole; None where it contradicts what a client was told."""
        self._now = whole
        return self._rest()

    def _rest(self) -> str | None:
        if not self._now.startswith(self.sent):
            return None
        rest, self.sent = self._now[len(self.sent) :], self._now
        return rest


class Answering:
    """Happenings in, items out: the answer to `message`, which came after the steps `before`.
    `live` words are told as they come; `whole` asks are told also where no answer follows;
    `reads` is whether the client may read what tools are given and give back.
    """

    def __init__(
        self,
        before: Iterable[Event],
        message: MessageReceived,
        *,
        live: bool = False,
        whole: bool = True,
        reads: bool = False,
    ) -> None:
        before = tuple(before)
        self._titles: dict[str, str] = {}
        for event in before:
            self._titles |= titles_in(event)
        self._state = evolve(replay(before), message)
        self._ahead = len(self._state.unheard)
        self._others = set(self._state.open)
        self._live, self._whole, self._reads = live, whole, reads
        self._turn = 0
        self._asks: set[str] = set()
        self._early: list[Words] = []
        self._speech = Speech("")
        self._draft: Reasoned | None = None
        self._before: list[str] = []
        self._names: dict[str, str] = {}
        self._usages: list[Usage | None] = []
        self.over = False

    def take(self, happening: Happening) -> list[Item]:
        if self.over:
            return []
        match happening:
            case Entry():
                told = self._step(happening.event)
            case Words():
                told = self._words(happening)
            case WordsTakenBack(call=call):
                if call in self._asks:
                    self._speech.take_back()
                told = []
        self.over = any(isinstance(item, Given | Ended) for item in told)
        return told

    # -- words --------------------------------------------------------------------------------

    def _words(self, words: Words) -> list[Item]:
        """Words may come before the step that asked for them; they wait for it."""
        if not self._live or words.call in self._others:
            return []
        if words.call not in self._asks:
            self._early.append(words)
            return []
        if words.kind == "thinking":
            return [Thought(words.call, words.text)] if self._reads else []
        return self._said(self._speech.hear(words.text))

    def _said(self, text: str | None) -> list[Item]:
        if text is None:
            return [self._ended("unsaid", "taken_back", UNSAID)]
        return [Piece(self._speech.part, text)] if text else []

    # -- steps --------------------------------------------------------------------------------

    def _step(self, event: Event) -> list[Item]:  # noqa: PLR0911  (one case after the other)
        self._listen(event)
        self._titles |= titles_in(event)
        if isinstance(event, ConversationStopped):
            return [self._ended("stopped", event.reason)]
        if not self._turn or getattr(event, "turn", 0) != self._turn:
            return []
        match event:
            case ReasonRequested() if not event.shadow:
                return self._asked(event)
            case Reasoned() if event.call in self._asks:
                return self._reasoned(event)
            case ReasonFailed() if event.call in self._asks:
                self._speech.take_back()
                if event.usage is not None:
                    self._usages.append(event.usage)
                return []
            case ResponseGiven():
                return self._given(event)
            case TurnAbandoned(reason=reason, detail=detail):
                return [self._ended("abandoned", reason, detail)]
            case TurnCancelled(reason=reason):
                return [self._ended("cancelled", reason)]
            case _:
                return self._tool(event)

    def _listen(self, event: Event) -> None:
        """Which turn hears the message? Those before it are heard first."""
        waited = len(self._state.unheard)
        self._state = evolve(self._state, event)
        if not self._turn and not isinstance(event, MessageReceived):
            self._ahead -= waited - len(self._state.unheard)
            if self._ahead <= 0:
                turn = self._state.turn
                self._turn = turn.number if turn else getattr(event, "turn", 0)
        if isinstance(event, ReasonRequested) and (event.shadow or not self._turn):
            self._others.add(event.call)
            self._early = [words for words in self._early if words.call != event.call]

    def _asked(self, event: ReasonRequested) -> list[Item]:
        told: list[Item] = []
        if event.attempt == 1:
            if self._draft is not None:  # a newer message joined the turn before it was given
                told = self._tell(_text(self._draft))
            self._speech = Speech(event.call)
            told.append(Began(event.call))
        self._asks.add(event.call)
        early, self._early = self._early, []
        for words in early:
            told += self._words(words)
        return told

    def _reasoned(self, event: Reasoned) -> list[Item]:
        self._usages.append(event.usage)
        if not any(isinstance(part, ToolCall) for part in event.parts):
            self._draft = event
            return []
        return self._tell(_text(event)) if self._whole else []

    def _tell(self, text: str) -> list[Item]:
        """A part that is complete and is not the answer."""
        self._draft = None
        told = self._said(self._speech.settle(text))
        if text and not any(isinstance(item, Ended) for item in told):
            self._before.append(text)
            told.append(Told(self._speech.part, text))
        return told

    def _tool(self, event: Event) -> list[Item]:  # noqa: PLR0911  (one case after the other)
        match event:
            case ApprovalRequested(call=call, name=name, expires_s=expires_s):
                return [*self._call(call, name, event.arguments), Waits(call, name, expires_s)]
            case ToolRequested(call=call, name=name) | CodeRequested(call=call, name=name):
                return self._call(call, name, event.arguments)
            case RetrievalRequested(call=call, query=query):
                return self._call(call, SEARCH, {"query": query})
            case ToolReturned(call=call, result=result):
                return self._settle(call, result)
            case RetrievalReturned(call=call, passages=passages):
                return self._settle(call, passages)
            case ToolRefused(call=call, name=name, reason=why):
                return [*self._call(call, name, {}), *self._settle(call, None, why)]
            case ToolFailed(call=call, reason=why) | RetrievalFailed(call=call, reason=why):
                return self._settle(call, None, why)
            case ToolUnknown(call=call, reason=why):
                return self._settle(call, None, f"nobody knows what became of it: {why}")
            case _:
                return []

    def _call(self, call: str, name: str, arguments: Arguments) -> list[Item]:
        if call in self._names:
            return []
        self._names[call] = name
        return [Called(call, name, arguments if self._reads else {})]

    def _settle(self, call: str, result: Any, why: str = "") -> list[Item]:
        if call not in self._names:
            return []
        if not self._reads:
            result, why = None, why and "it did not work"
        return [Settled(call, self._names[call], result, why)]

    # -- ends ---------------------------------------------------------------------------------

    def _given(self, event: ResponseGiven) -> list[Item]:
        told = self._said(self._speech.settle(event.text))
        if any(isinstance(item, Ended) for item in told):
            return told
        draft = self._draft
        parts = draft.parts if draft and event.outcome == "answer" else ()
        given = Given(
            event.turn,
            self._speech.part,
            event.text,
            tuple(self._before),
            placed(event.text, event.citations, parts, self._titles),
            event.outcome,
            draft.finish if draft else "stop",
            self._usage(),
        )
        return [*told, given]

    def _ended(self, kind: Kind, reason: str, detail: str = "") -> Ended:
        return Ended(kind, reason, detail if self._reads or kind == "unsaid" else "", self._usage())

    def _usage(self) -> Usage | None:
        known = [usage for usage in self._usages if usage is not None]
        return summed(known) if known and len(known) == len(self._usages) else None


def _text(answer: Reasoned) -> str:
    return "".join(part.text for part in answer.parts if isinstance(part, Text))


def summed(usages: Sequence[Usage]) -> Usage:
    """Tokens of several calls; what one of them did not tell counts as none."""
    return Usage(
        input=sum(each.input or 0 for each in usages),
        output=sum(each.output or 0 for each in usages),
        cached=sum(each.cached or 0 for each in usages),
        cache_write=sum(each.cache_write or 0 for each in usages),
        thinking=sum(each.thinking or 0 for each in usages),
    )


# -- over the log -----------------------------------------------------------------------------


async def answering_for(
    front: Front, who: Principal, entries: Sequence[Entry], position: int, *, live: bool
) -> Answering:
    """For the message at this position of the conversation that `entries` are."""
    before = [entry.event for entry in entries if entry.position < position]
    message = next(entry.event for entry in entries if entry.position == position)
    assert isinstance(message, MessageReceived)
    digest = getattr(entries[0].event, "digest", "")
    passes = hears_words(replace(who, scopes=frozenset((CHAT,))), await front.agent(digest))
    return Answering(before, message, live=live and passes, whole=passes, reads=who.may(READ))


async def answered(
    front: Front, who: Principal, message: Entry, *, live: bool
) -> AsyncGenerator[Item, None]:
    """The items of the answer as they come, until there is one or none is to come."""
    entries = await front.read(who, message.conversation)
    answering = await answering_for(front, who, entries, message.position, live=live)
    happenings = front.happenings(who, message.conversation, after=message.position)
    async with aclosing(happenings) as told:
        async for each in told:
            for item in answering.take(each):
                yield item
            if answering.over:
                return
