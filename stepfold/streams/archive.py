"""Logs as files, and files as logs again. One step a line: its payload, with its address in place
of `after`. A position in a file is the number of the step's line, `after` is the one before it.

    {"agent": {...}}                                     a version that a conversation is pinned to
    {"routes": {...}}                                    a table that a model was chosen by
    {"missing": "sha256:..."}                            one that the log itself never kept
    {"customer", "conversation", "id", "at", "event", "cause", "by", "trace"}      a step
    {"customer", "conversation", "kind", "raw", "at"}    a payload that is none, in base64
    {"subject", "raw", "at"}                             the same, in no conversation

A step has `kind` only when its event does not say it, and `broken` only when it does not follow the
step before it: the position that it claimed to follow. Errors:

    ArchiveError
    ├── LineRefused            a line that cannot be read
    └── ConversationDiffers    see `streams/restore.py`
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Raw, Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import ConversationStarted
from stepfold.events.names import EventError, split_subject, step_subject, token
from stepfold.events.steps import Stored
from stepfold.events.wire import decode
from stepfold.policy.agent import Agent, decode_agent, digest, encode_agent
from stepfold.streams.log import Agents, AgentUnknown, Log, Shelf, chain, content_digest

Key = tuple[str, str]


class ArchiveError(Exception):
    """A file that cannot become a log, or a log that cannot take it."""


class LineRefused(ArchiveError):
    """A line that cannot be read."""


class _Stem(Struct):
    """What a payload must have to be a step of ours, whatever else is in it."""

    id: str
    at: datetime
    after: int
    event: Raw


_OURS = frozenset({"customer", "conversation", "kind", "broken", "raw"})
_TABLE = re.compile(rb'"table":"(sha256:[0-9a-f]{64})"')
_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"([^"/\\]*)')
_stem = msgspec.json.Decoder(_Stem)
_fields = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()


async def export(
    log: Log, agents: Agents, routes: Shelf, *, key: Key | None = None
) -> AsyncIterator[bytes]:
    """The lines of the whole log as it is now, or of one conversation (customer, conversation)."""
    after, last = await _range(log, key)
    async for line in _headers(log, agents, routes, after, last, key):
        yield line
    writer = _Writer()
    async for batch in _batches(log, after, last, key):
        for stored in batch:
            yield writer.line(stored)


async def _range(log: Log, key: Key | None) -> tuple[int, int]:
    if key is None:
        return 0, await log.last()
    entries = await log.read(*key)
    if not entries:
        raise ArchiveError(f"conversation {'/'.join(key)} is not in this log")
    return entries[0].position - 1, entries[-1].position


async def _headers(
    log: Log, agents: Agents, routes: Shelf, after: int, last: int, key: Key | None
) -> AsyncIterator[bytes]:
    pinned: set[str] = set()
    async for batch in _batches(log, after, last, key):
        for stored in batch:
            name = _pin(stored)
            if name and name not in pinned:
                pinned.add(name)
                yield await _header(agents, name)
            table = table_of(stored.payload)
            if table and table not in pinned:
                pinned.add(table)
                raw = await routes.get(table)
                yield _encoder.encode({"routes": Raw(raw)} if raw else {"missing": table}) + b"\n"


def table_of(payload: bytes) -> str:
    """The digest of the routes that this step's choice was made by; empty when there is none."""
    found = _TABLE.search(payload) if b'"table":' in payload else None
    return found.group(1).decode() if found else ""


async def _header(agents: Agents, name: str) -> bytes:
    try:
        agent = await agents.get(name)
    except AgentUnknown:
        return _encoder.encode({"missing": name}) + b"\n"
    return _encoder.encode({"agent": Raw(encode_agent(agent))}) + b"\n"


async def _batches(
    log: Log, after: int, last: int, key: Key | None
) -> AsyncIterator[Sequence[Stored]]:
    start = f"steps.{key[0]}.{key[1]}." if key else ""
    scan = log.scan(after=after)
    async with aclosing(scan) as batches:
        async for batch in batches:
            yield [s for s in batch if s.position <= last and s.subject.startswith(start)]
            if batch[-1].position >= last:
                return


def _pin(stored: Stored) -> str:
    """The digest that this step pins its conversation to; empty for every other step."""
    if not stored.subject.endswith(".conversation.started") or not _address(stored.subject):
        return ""
    event = decode(stored.subject, stored.payload, position=stored.position, at=stored.at).event
    return event.digest if isinstance(event, ConversationStarted) else ""


def _address(subject: str, known: Container[Key] = ()) -> tuple[str, str, str] | None:
    """(customer, conversation, kind), None when it cannot be a step's; `known` is not checked."""
    try:
        customer, conversation, kind = split_subject(subject)
        if (customer, conversation) in known:
            return customer, conversation, kind
        return token("customer", customer), token("conversation", conversation), kind
    except EventError:
        return None


class _Writer:
    """Lines, one after the other; it knows the last position of each conversation."""

    def __init__(self) -> None:
        self._last: dict[Key, int] = {}

    def line(self, stored: Stored) -> bytes:
        address = _address(stored.subject, self._last)
        if address is None:
            stray = {"subject": stored.subject, "raw": stored.payload, "at": stored.at}
            return _encoder.encode(stray) + b"\n"
        customer, conversation, kind = address
        before = self._last.get((customer, conversation), 0)
        self._last[customer, conversation] = stored.position
        form: dict[str, object] = {"customer": customer, "conversation": conversation}
        step = _step(stored.payload)
        if step is None:
            form.update(kind=kind, raw=stored.payload, at=stored.at)
            return _encoder.encode(form) + b"\n"
        after, fields = step
        if after != before:
            form["broken"] = _elsewhere(after) if after < 0 else after
        if _said(fields["event"]) != kind:
            form["kind"] = kind
        return _encoder.encode(form | fields) + b"\n"


def _step(payload: bytes) -> tuple[int, dict[str, Raw]] | None:
    """`after` and the other fields as they lie there; None for what is not a step of ours."""
    try:
        payload.decode()
        if b"\n" in payload:
            payload = msgspec.json.format(payload, indent=-1)
        after = _stem.decode(payload).after
        fields = _fields.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if fields.keys() & _OURS:
        return None
    del fields["after"]
    return after, fields


def _said(event: Raw) -> str:
    """`noun.verb` of an event's bytes, as far as its first field says it."""
    found = _TYPE.match(bytes(event))
    return found.group(1).decode() if found else ""


def _elsewhere(position: int) -> int:
    """A position of one log that is never one of another: negative. Twice gives it back."""
    return -position - 2


class _StepLine(Struct):
    customer: str
    conversation: str
    id: str
    at: datetime
    event: Raw
    kind: str = ""
    broken: int | None = None


class _RawLine(Struct, forbid_unknown_fields=True):
    customer: str
    conversation: str
    kind: str
    raw: bytes
    at: datetime


class _StrayLine(Struct, forbid_unknown_fields=True):
    subject: str
    raw: bytes
    at: datetime


class Line(Struct):
    """A step of a file, before it has a place in a log. `key` is None in no conversation."""

    key: Key | None
    subject: str
    at: datetime
    id: str = ""
    raw: bytes | None = None
    fields: dict[str, Raw] = {}
    broken: int | None = None

    def payload(self, after: int) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.broken is not None:
            after = _elsewhere(self.broken) if self.broken >= 0 else self.broken
        head = {"id": self.fields["id"], "at": self.fields["at"], "after": after}
        return _encoder.encode(head | self.fields)


_step_line = msgspec.json.Decoder(_StepLine)
_raw_line = msgspec.json.Decoder(_RawLine)
_stray_line = msgspec.json.Decoder(_StrayLine)


class Archive:
    """A file of steps, read line by line each time it is gone through. `agents` and `routes` by
    digest; `missing` are the versions that are known to be lost.
    """

    def __init__(self, source: Path | Sequence[bytes], name: str) -> None:
        self.name = name
        self.agents: dict[str, Agent] = {}
        self.routes: dict[str, bytes] = {}
        self.missing: set[str] = set()
        self._source = source
        self._headers = 0
        for number, line in self._numbered():
            fields = self._decode(number, line)
            if not self._is_header(number, fields):
                break
            self._headers = number

    def __iter__(self) -> Iterator[Stored]:
        """The steps, as if this file were their log."""
        last: dict[Key, int] = {}
        for position, line in enumerate(self.lines(), start=1):
            after = last.get(line.key, 0) if line.key else 0
            if line.key:
                last[line.key] = position
            yield Stored(position, line.subject, line.payload(after), line.at)

    def lines(self) -> Iterator[Line]:
        for number, line in self._numbered():
            if number > self._headers:
                yield self._line(number, line)

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        if isinstance(self._source, Path):
            with self._source.open("rb") as file:
                yield from _not_blank(file)
        else:
            yield from _not_blank(self._source)

    def _is_header(self, number: int, fields: dict[str, Raw]) -> bool:
        if len(fields) != 1:
            return False
        name, raw = next(iter(fields.items()))
        try:
            if name == "agent":
                agent = decode_agent(bytes(raw))
                self.agents[digest(agent)] = agent
            elif name == "routes":
                self.routes[content_digest(bytes(raw))] = bytes(raw)
            elif name == "missing":
                self.missing.add(msgspec.json.decode(raw, type=str))
            else:
                self._refuse(number, f"unknown header {name!r} (known: agent, routes, missing)")
        except msgspec.DecodeError as error:
            self._refuse(number, f"not a header {name!r}: {error}")
        return True

    def _line(self, number: int, line: bytes) -> Line:
        fields = self._decode(number, line)
        try:
            if "customer" not in fields and "subject" in fields:
                stray = _stray_line.decode(line)
                return Line(None, stray.subject, stray.at, raw=stray.raw)
            if "raw" in fields:
                form = _raw_line.decode(line)
                key = form.customer, form.conversation
                return Line(key, _subject(*key, form.kind), form.at, raw=form.raw)
            return self._step(number, _step_line.decode(line), fields)
        except (msgspec.DecodeError, EventError) as error:
            if len(fields) == 1 and fields.keys() <= {"agent", "routes", "missing"}:
                self._refuse(number, "a header after the first step: keep archives in files apart")
            self._refuse(number, f"not a step: {error}")

    def _step(self, number: int, form: _StepLine, fields: dict[str, Raw]) -> Line:
        kind = form.kind or _said(form.event)
        if not kind:
            self._refuse(number, 'its event has no "type" and the line has no "kind"')
        rest = {name: raw for name, raw in fields.items() if name not in _OURS}
        key = form.customer, form.conversation
        line = Line(key, _subject(*key, kind), form.at, form.id, None, rest, form.broken)
        if kind == "conversation.started":
            self._check_pin(number, line)
        return line

    def _check_pin(self, number: int, line: Line) -> None:
        name = _pin(Stored(0, line.subject, line.payload(0), line.at))
        if name and name not in self.agents and name not in self.missing:
            known = ", ".join(sorted(self.agents)) or "none"
            self._refuse(
                number,
                f"agent missing: the conversation is pinned to {name} (in this file: {known});"
                f' put its {{"agent": ...}} line first, or {{"missing": "{name}"}} if it is lost',
            )

    def _decode(self, number: int, line: bytes) -> dict[str, Raw]:
        try:
            return _fields.decode(line)
        except msgspec.ValidationError as error:
            self._refuse(number, f"not a JSON object: {error}")
        except msgspec.DecodeError as error:
            if "truncated" in str(error):
                self._refuse(
                    number,
                    "the line ends in the middle: the file was cut off;"
                    " export it again, or delete this line to keep the steps before it",
                )
            self._refuse(number, f"invalid JSON: {error}")

    def _refuse(self, number: int, why: str) -> NoReturn:
        raise LineRefused(f"{self.name}:{number}: {why}")


@lru_cache(maxsize=4096)
def _subject(customer: str, conversation: str, kind: str) -> str:
    for word in kind.split("."):
        token("kind", word)
    return step_subject(customer, conversation, kind)


def _not_blank(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def load(source: Path | Iterable[bytes], *, name: str = "") -> Archive:
    """An archive, its headers read. `name` is what errors call it. LineRefused; OSError."""
    if isinstance(source, Path):
        return Archive(source, name or str(source))
    return Archive(tuple(source), name or "lines")


def entries(steps: Iterable[Stored], last: dict[Key, int] | None = None) -> Iterator[Entry]:
    """Stored steps of many conversations as entries, their chains checked; strays are left out.

    `last` holds where each conversation is; give the same one for each part of a log.
    """
    last = {} if last is None else last
    for stored in steps:
        if _address(stored.subject, last) is None:
            continue
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        yield from chain((entry,), last.get(entry.key, 0))
        last[entry.key] = entry.position
