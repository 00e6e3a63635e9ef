"""A conversation as it happens: its steps, and the words in between, each character once.

Steps come from the log; words come over core NATS, which may lose some. So each is checked against
what was shown: a gap is filled by asking, another run takes the words of the one before back, and
the outcome in the log has the last word. Words may overtake the step that asked for them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import Reasoned, ReasonFailed, ReasonRequested
from stepfold.events.names import conversation_filter
from stepfold.events.values import Text, Thinking
from stepfold.streams.jetstream import Connection, JetStreamLog, Message
from stepfold.streams.tokens import Kind, Part, Said, ask_said, read_part, subject

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
    """What was shown of one call; `claimed` is what a listener says it has and nobody checked."""

    def __init__(self, call: str, turn: int, attempt: int, claimed: Shown | None = None) -> None:
        self.call, self.turn, self.attempt = call, turn, attempt
        self.run = ""
        self.shown: dict[Kind, str] = {"text": "", "thinking": ""}
        self.claimed = claimed

    def check(self, text: str) -> TakenBack | None:
        """Hold what is claimed against the whole text, once it is known."""
        claimed, self.claimed = self.claimed, None
        if claimed is None or not claimed.characters:
            return None
        if digest_of(text[: claimed.characters]) == claimed.digest:
            self.shown["text"] = text[: claimed.characters]
            return None
        return TakenBack(self.call, self.turn, self.attempt)

    def next(self, kind: Kind, offset: int, text: str) -> Words | None:
        """What is new in `text`, which stands at `offset`; None when nothing is."""
        before = self.shown[kind]
        fresh = text[len(before) - offset :] if offset <= len(before) else ""
        if not fresh:
            return None
        self.shown[kind] += fresh
        return Words(self.call, self.turn, self.attempt, kind, len(before), fresh)

    def take_back(self) -> TakenBack | None:
        claimed, self.claimed = self.claimed, None
        if not any(self.shown.values()) and not claimed:
            return None
        self.shown = {"text": "", "thinking": ""}
        return TakenBack(self.call, self.turn, self.attempt)


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
    arrived: asyncio.Queue[Entry | Part | Exception] = asyncio.Queue()

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

    words = await client.subscribe(
        subject(customer, conversation), cb=on_message, pending_msgs_limit=-1
    )
    following = asyncio.create_task(follow())
    room = _Room(client, customer, conversation, await log.last())
    if shown is not None:
        room.claim(shown)
    try:
        while True:
            told = await arrived.get()
            if isinstance(told, Exception):
                raise told
            for happening in await room.take(told):
                yield happening
    finally:
        following.cancel()
        if client.is_connected:
            await words.unsubscribe()


class _Room:
    """What is known of the calls that are open."""

    def __init__(self, client: Connection, customer: str, conversation: str, last: int) -> None:
        self._client = client
        self._key = customer, conversation
        self._calls: dict[str, _Call] = {}
        self._over: set[str] = set()
        self._last = last

    def claim(self, shown: Shown) -> None:
        self._calls[shown.call] = _Call(shown.call, 0, 0, shown)

    async def take(self, told: Entry | Part) -> list[Happening]:
        if isinstance(told, Part):
            return await self._part(told)
        return [*await self._before(told), told]

    async def _part(self, part: Part) -> list[Happening]:
        if part.call in self._over:
            return []
        call = self._open(part.call, part.turn, part.attempt)
        if call.claimed is not None:
            return await self._whole(call)
        happened = self._begin_run(call, part.run)
        if part.offset > len(call.shown[part.kind]):
            return [*happened, *await self._whole(call)]
        words = call.next(part.kind, part.offset, part.text)
        return [*happened, words] if words else happened

    async def _before(self, entry: Entry) -> list[Happening]:
        """The words that a step makes known, before the step itself."""
        match entry.event:
            case ReasonRequested(shadow=True):
                self._over.add(entry.event.call)
            case ReasonRequested(call=name, turn=turn, attempt=attempt):
                call = self._open(name, turn, attempt)
                if entry.position <= self._last:  # we came late: something may have been said
                    return await self._whole(call)
            case Reasoned(call=name) if name not in self._over:
                return self._end(name, entry.event)
            case ReasonFailed(call=name):
                self._over.add(name)
                failed = self._calls.pop(name, None)
                return _some(failed.take_back()) if failed else []
            case _:
                pass
        return []

    async def _whole(self, call: _Call) -> list[Happening]:
        said = await ask_said(self._client, *self._key, call.call)
        if said is None:
            return []
        happened = _some(call.check(said.text)) + self._begin_run(call, said.run)
        return happened + self._missing(call, said)

    def _missing(self, call: _Call, said: Said) -> list[Happening]:
        texts: dict[Kind, str] = {"text": said.text, "thinking": said.thinking}
        found = (call.next(kind, 0, texts[kind]) for kind in KINDS)
        return [words for words in found if words]

    def _open(self, name: str, turn: int, attempt: int) -> _Call:
        call = self._calls.setdefault(name, _Call(name, turn, attempt))
        call.turn, call.attempt = turn, attempt
        return call

    def _begin_run(self, call: _Call, run: str) -> list[Happening]:
        """Another run of the same call says it anew; the first one that is known is no other."""
        before, call.run = call.run, run
        return _some(call.take_back()) if before not in ("", run) else []

    def _end(self, name: str, answer: Reasoned) -> list[Happening]:
        """The answer as it is in the log: what was not shown of it, or all of it once more."""
        self._over.add(name)
        call = self._calls.pop(name, None) or _Call(name, answer.turn, answer.attempt)
        texts: dict[Kind, str] = {
            "text": "".join(part.text for part in answer.parts if isinstance(part, Text)),
            "thinking": "".join(p.text for p in answer.parts if isinstance(p, Thinking)),
        }
        happened = _some(call.check(texts["text"]))
        if not all(texts[kind].startswith(call.shown[kind]) for kind in KINDS):
            happened += _some(call.take_back())
        found = (call.next(kind, 0, texts[kind]) for kind in KINDS)
        return happened + [words for words in found if words]


def _some(happening: Happening | None) -> list[Happening]:
    return [] if happening is None else [happening]
