"""A conversation as it happens: its steps, and the words in between, each character once.

Steps come from the log; words come over core NATS, which may lose some. So each is checked against
what was shown: a gap is filled by asking, another run takes the words of the one before back, and
the outcome in the log has the last word. Words may overtake the step that asked for them. Steps
never wait for an answer: it comes in between, as words do.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import Reasoned, ReasonFailed, ReasonRequested
from stepfold.events.names import EventError, conversation_filter
from stepfold.events.values import Text, Thinking
from stepfold.streams.asking import Asking
from stepfold.streams.ending import end, go_on
from stepfold.streams.jetstream import Connection, JetStreamLog, Message
from stepfold.streams.tokens import Kind, Part, Said, read_part, subject

KINDS: tuple[Kind, ...] = ("thinking", "text")


class Words(Struct, frozen=True):
    """The next characters of what a call says: `text` goes right after the `offset` characters of
    this kind that were told before.
    """

    call: str
    turn: int
    attempt: int
    kind: Kind
    offset: int
    text: str


class TakenBack(Struct, frozen=True):
    """All words of this call so far were not the answer: forget them."""

    call: str
    turn: int
    attempt: int


Happening = Entry | Words | TakenBack


class Shown(Struct, frozen=True):
    """What a listener that comes back has of a call: so many characters of text, and their digest
    (`digest_of`), which says whether they are still the beginning of it.
    """

    call: str
    characters: int
    digest: str


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Call:
    """What was shown of one call; `claimed` is what a listener says it has and nobody checked, and
    `later` what cannot be shown before the words in front of it are known.
    """

    def __init__(self, call: str, turn: int, attempt: int, claimed: Shown | None = None) -> None:
        self.call, self.turn, self.attempt = call, turn, attempt
        self.run = self.run_when_asked = ""
        self.shown: dict[Kind, str] = {"text": "", "thinking": ""}
        self.claimed = claimed
        self.later: list[Part] = []

    def check(self, text: str) -> list[Happening]:
        """Hold what is claimed against the whole text, once it is known."""
        claimed, self.claimed = self.claimed, None
        if claimed is None or not claimed.characters:
            return []
        if digest_of(text[: claimed.characters]) == claimed.digest:
            self.shown["text"] = text[: claimed.characters]
            return []
        return [TakenBack(self.call, self.turn, self.attempt)]

    def next(self, kind: Kind, offset: int, text: str) -> list[Happening]:
        """What is new in `text`, which stands at `offset`."""
        before = self.shown[kind]
        fresh = text[len(before) - offset :] if offset <= len(before) else ""
        if not fresh:
            return []
        self.shown[kind] += fresh
        return [Words(self.call, self.turn, self.attempt, kind, len(before), fresh)]

    def missing(self, texts: dict[Kind, str]) -> list[Happening]:
        return [words for kind in KINDS for words in self.next(kind, 0, texts[kind])]

    def begin_run(self, run: str) -> list[Happening]:
        """Another run of the same call says it anew; the first one that is known is no other."""
        before, self.run = self.run, run
        return self.take_back() if before not in ("", run) else []

    def take_back(self) -> list[Happening]:
        claimed, self.claimed = self.claimed, None
        if not any(self.shown.values()) and not claimed:
            return []
        self.shown = {"text": "", "thinking": ""}
        return [TakenBack(self.call, self.turn, self.attempt)]


async def listening(
    client: Connection,
    log: JetStreamLog,
    customer: str,
    conversation: str,
    *,
    after: int = 0,
    shown: Shown | None = None,
) -> AsyncGenerator[Happening, None]:
    """The steps beyond `after` and the words that are said, as they come, for ever. Who was here
    before says what it has `shown` of the call that was open, and is told what comes after that.
    """
    arrived: asyncio.Queue[Entry | Part | Said | Exception] = asyncio.Queue()

    async def on_message(message: Message) -> None:
        part = read_part(message.data)
        if part is not None:
            arrived.put_nowait(part)

    async def follow() -> None:
        where = conversation_filter(customer, conversation)
        try:
            async with aclosing(log.follow(where, after=after)) as entries:
                async for entry in entries:
                    arrived.put_nowait(entry)
        except Exception as error:  # noqa: BLE001  (raised where the steps are taken)
            arrived.put_nowait(error)

    asking = Asking(client, customer, conversation, arrived.put_nowait)
    following: tuple[asyncio.Task[None], ...] = ()
    words = await client.subscribe(
        subject(customer, conversation), cb=on_message, pending_msgs_limit=-1
    )
    try:
        last = (await log.tail(customer, conversation)).position
        room = _Room(asking, last)
        room.begin(await _before(log, customer, conversation, after), after, shown)
        go_on()
        following = (asyncio.create_task(follow()),)
        while True:
            told = await arrived.get()
            if isinstance(told, Exception):
                raise told
            for happening in room.take(told):
                yield happening
    finally:
        try:
            await end(*following, *asking.tasks)
        finally:
            if client.is_connected:
                await words.unsubscribe()


async def _before(
    log: JetStreamLog, customer: str, conversation: str, after: int
) -> tuple[Entry, ...]:
    """What came up to `after`; nothing where it cannot be read: it is left out, as it is when it is
    followed.
    """
    entries: Iterable[Entry] = ()
    if after:
        with suppress(EventError):
            entries = await log.read(customer, conversation)
    return tuple(entry for entry in entries if entry.position <= after)


class _Room:
    """What is known of the calls that are open. `last` is the position of the step that was the
    last one when the listener came: what was said until then may not have reached it.
    """

    def __init__(self, asking: Asking, last: int) -> None:
        self._asking = asking
        self._calls: dict[str, _Call] = {}
        self._over: set[str] = set()
        self._last = last

    def begin(self, before: Iterable[Entry], after: int, shown: Shown | None) -> None:
        """Steps that the listener knows, and what it has of the call that was open."""
        for entry in before:
            self._step(entry)
        if shown is not None:
            known = self._calls.get(shown.call, _Call(shown.call, 0, 0))
            self._calls[shown.call] = _Call(known.call, known.turn, known.attempt, shown)
        if after >= self._last:
            self._ask_all()

    def take(self, told: Entry | Part | Said) -> list[Happening]:
        if isinstance(told, Part):
            return self._part(told)
        if isinstance(told, Said):
            return self._said(told)
        happened = self._step(told)
        if told.position == self._last:
            self._ask_all()
        return [*happened, told]

    def _part(self, part: Part) -> list[Happening]:
        if part.call in self._over:
            return []
        call = self._open(part.call, part.turn, part.attempt)
        happened = [] if call.claimed is not None else call.begin_run(part.run)
        if call.claimed is not None or part.offset > len(call.shown[part.kind]):
            call.later.append(part)
            self._ask(call)
            return happened
        return happened + call.next(part.kind, part.offset, part.text)

    def _said(self, said: Said) -> list[Happening]:
        """All of it; and what came after it was asked for."""
        if said.call in self._over:
            return []
        call = self._open(said.call, said.turn, said.attempt)
        if said.run != call.run != call.run_when_asked:  # by a run that another one has followed
            self._ask(call)
            return []
        happened = call.check(said.text) + call.begin_run(said.run)
        happened += call.missing({"text": said.text, "thinking": said.thinking})
        later, call.later = call.later, []
        for part in later:
            if part.run == said.run:
                happened += self._part(part)
            else:
                self._ask(call)  # which of the two runs is the living one?
        return happened

    def _step(self, entry: Entry) -> list[Happening]:
        """The words that a step makes known, before the step itself."""
        match entry.event:
            case ReasonRequested(shadow=True):
                self._over.add(entry.event.call)
            case ReasonRequested(call=name, turn=turn, attempt=attempt) if name not in self._over:
                self._open(name, turn, attempt)
            case Reasoned(call=name) if name not in self._over:
                return self._answered(name, entry.event)
            case ReasonFailed(call=name):
                return self._end(name, entry.event.turn, entry.event.attempt).take_back()
            case _:
                pass
        return []

    def _answered(self, name: str, answer: Reasoned) -> list[Happening]:
        """The answer as it is in the log: what was not shown of it, or all of it once more."""
        call = self._end(name, answer.turn, answer.attempt)
        texts: dict[Kind, str] = {
            "text": "".join(part.text for part in answer.parts if isinstance(part, Text)),
            "thinking": "".join(p.text for p in answer.parts if isinstance(p, Thinking)),
        }
        happened = call.check(texts["text"])
        if not all(texts[kind].startswith(call.shown[kind]) for kind in KINDS):
            happened += call.take_back()
        return happened + call.missing(texts)

    def _open(self, name: str, turn: int, attempt: int) -> _Call:
        call = self._calls.setdefault(name, _Call(name, turn, attempt))
        call.turn, call.attempt = turn, attempt
        return call

    def _end(self, name: str, turn: int, attempt: int) -> _Call:
        """What was shown of it; whatever is still said of it is too late."""
        self._open(name, turn, attempt)
        self._over.add(name)
        self._asking.stop(name)
        return self._calls.pop(name)

    def _ask(self, call: _Call) -> None:
        if self._asking.begin(call.call):
            call.run_when_asked = call.run

    def _ask_all(self) -> None:
        for call in self._calls.values():
            self._ask(call)
