"""Words while they are said: over core NATS, never in the log.

    tokens.<customer>.<conversation>.<call>          what a worker says of a call, in parts
    said.<customer>.<conversation>.<call>            a question to it: what has been said so far?

Each part carries the attempt, the run (a call may be made again by another worker after a crash)
and the place of its first character in what that run has said. Who missed a part, or came late,
asks for the whole; who asks too late finds the answer in the log.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.names import token
from stepfold.streams.jetstream import Connection, Message
from stepfold.streams.jetstream.connection import AWAY

FLUSH_S = 0.02
"""Words of so much time go in one message: nobody reads faster."""
KEPT_S = 10.0
"""How long what was said is kept after its call has ended."""
SAID_CHARS_MAX = 500_000
ASK_S = 1.0

Kind = Literal["text", "thinking"]
log = logging.getLogger("stepfold.tokens")


class Delta(Protocol):
    @property
    def kind(self) -> Kind: ...

    @property
    def text(self) -> str: ...


class Part(Struct, frozen=True, omit_defaults=True):
    """`offset` is the place of the first character of `text`, in what was said of this `kind`."""

    call: str
    turn: int
    attempt: int
    run: str
    offset: int
    text: str
    kind: Kind = "text"


class Said(Struct, frozen=True, omit_defaults=True):
    """All that a run has said so far."""

    call: str
    turn: int
    attempt: int
    run: str
    text: str = ""
    thinking: str = ""


_part = msgspec.json.Decoder(Part)
_said = msgspec.json.Decoder(Said)


def subject(customer: str, conversation: str, call: str = "*") -> str:
    return f"tokens.{_address(customer, conversation)}.{call}"


def question(customer: str, conversation: str, call: str) -> str:
    return f"said.{_address(customer, conversation)}.{call}"


def _address(customer: str, conversation: str) -> str:
    return f"{token('customer', customer)}.{token('conversation', conversation)}"


class Speaking:
    """One run of one call: hears its model and tells whoever listens."""

    def __init__(
        self, client: Connection, entry: Entry, call: str, attempt: int, forget: Callable[[], None]
    ) -> None:
        self.texts: dict[Kind, str] = {"text": "", "thinking": ""}
        self._client = client
        self._to = subject(*entry.key, call)
        self._call = call
        self._turn = int(getattr(entry.event, "turn", 0))
        self._attempt = attempt
        self._run = secrets.token_hex(4)
        self._forget = forget
        self._told: dict[Kind, int] = {"text": 0, "thinking": 0}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def hear(self, delta: Delta, /) -> None:
        if len(self.texts[delta.kind]) < SAID_CHARS_MAX:
            self.texts[delta.kind] += delta.text
            self._soon()

    def end(self) -> None:
        """What was said is kept for a while, until its outcome has reached everybody."""
        self._soon()
        self._loop.call_later(KEPT_S, self._forget)

    def said(self) -> Said:
        return Said(self._call, self._turn, self._attempt, self._run, **self.texts)

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        """One message at a time, so that they cannot overtake each other."""
        self._timer = None
        if self._sending is not None and not self._sending.done():
            self._soon()
        elif any(self._told[kind] < len(text) for kind, text in self.texts.items()):
            self._sending = self._loop.create_task(self._send())

    async def _send(self) -> None:
        for kind, text in self.texts.items():
            begin = self._told[kind]
            if begin == len(text):
                continue
            part = Part(self._call, self._turn, self._attempt, self._run, begin, text[begin:], kind)
            self._told[kind] = len(text)
            try:
                await self._client.publish(self._to, msgspec.json.encode(part))
            except AWAY as error:  # whoever missed it asks for the whole, or reads the answer
                log.debug("%s: %s", self._to, error)


class Tokens:
    """What the workers of this process say. `serving` answers questions about it."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self._speaking: dict[str, Speaking] = {}

    def speak(self, entry: Entry, call: str, attempt: int) -> Speaking:
        name = question(*entry.key, call)
        speaking = Speaking(
            self._client, entry, call, attempt, lambda: self._forget(name, speaking)
        )
        self._speaking[name] = speaking
        return speaking

    def _forget(self, name: str, speaking: Speaking) -> None:
        if self._speaking.get(name) is speaking:
            del self._speaking[name]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        subscription = await self._client.subscribe("said.>", cb=self._answer)
        try:
            yield
        finally:
            if self._client.is_connected:
                await subscription.unsubscribe()

    async def _answer(self, message: Message) -> None:
        """Who does not hold this call says nothing: somebody else may."""
        speaking = self._speaking.get(message.subject)
        if speaking is not None and message.reply:
            await self._client.publish(message.reply, msgspec.json.encode(speaking.said()))


async def ask_said(
    client: Connection, customer: str, conversation: str, call: str, *, timeout_s: float = ASK_S
) -> Said | None:
    """All that was said of a call so far; None when nobody says anything of it any more."""
    try:
        told = await client.request(question(customer, conversation, call), b"", timeout=timeout_s)
    except (*AWAY, TimeoutError):
        return None
    return _said.decode(told.data)


def read_part(payload: bytes) -> Part | None:
    """None for what is no part of ours."""
    try:
        return _part.decode(payload)
    except msgspec.DecodeError:
        return None
