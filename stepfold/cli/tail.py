"""`stepfold tail`: the log as it is written, one line a step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

import typer
from msgspec import Struct

from stepfold.app import opened
from stepfold.cli.lines import say_line
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import pad, say_json, width
from stepfold.cli.where import existing
from stepfold.events.envelope import Entry
from stepfold.events.names import EventError, split_subject, token
from stepfold.events.steps import Stored
from stepfold.events.wire import decode
from stepfold.settings import Settings
from stepfold.streams.jetstream import JetStreamLog

LAST = 20
ANY = "*"
NAME_MIN, NAME_MAX = 14, 32


def tail(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    customer: Annotated[str | None, typer.Option(metavar="C", help="Only of this one.")] = None,
    conversation: Annotated[str | None, typer.Option(metavar="V", help="Only of this one.")] = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"Only beyond this position (default: the last {LAST} steps of the whole log,"
            " all of a part of it).",
        ),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print the steps of the log, in order, whoever wrote them."""
    part = _part(customer, conversation)
    asyncio.run(_tail(existing(data), part, after, follow=follow, json=json))


class Part(Struct, frozen=True):
    """A part of the log: of one customer, of one conversation, or all of it ("*")."""

    customer: str
    conversation: str

    @property
    def where(self) -> str:
        return f"steps.{self.customer}.{self.conversation}.>"

    @property
    def whole(self) -> bool:
        return self.customer == self.conversation == ANY

    def holds(self, subject: str) -> bool:
        customer, conversation, _ = split_subject(subject)
        return self.customer in (ANY, customer) and self.conversation in (ANY, conversation)


def _part(customer: str | None, conversation: str | None) -> Part:
    return Part(
        token("customer", customer) if customer is not None else ANY,
        token("conversation", conversation) if conversation is not None else ANY,
    )


async def _tail(here: Settings, part: Part, after: int | None, *, follow: bool, json: bool) -> None:
    async with opened(here) as found:
        last = await found.log.last()
        begin = after if after is not None else max(0, last - LAST) if part.whole else 0
        async with aclosing(_entries(found.log, part, begin, last, follow=follow)) as entries:
            async for entry in entries:
                _say(entry, json=json)


async def _entries(
    log: JetStreamLog, part: Part, after: int, last: int, *, follow: bool
) -> AsyncGenerator[Entry, None]:
    """Those up to `last` by reading, so that it ends; what comes after them by following."""
    async with aclosing(log.scan(after=after)) as batches:
        async for batch in batches:
            for stored in batch:
                if stored.position <= last and part.holds(stored.subject):
                    with suppress(EventError):  # a subject that is no step's is nobody's line
                        yield _entry(stored)
    if follow:
        async with aclosing(log.follow(part.where, after=max(after, last))) as entries:
            async for entry in entries:
                yield entry


def _entry(stored: Stored) -> Entry:
    return decode(stored.subject, stored.payload, position=stored.position, at=stored.at)


def _say(entry: Entry, *, json: bool) -> None:
    if json:
        say_json(entry)
        return
    room = max(NAME_MIN, min(NAME_MAX, width() // 4))
    name = pad("/".join(entry.key), room)
    say_line(f"{entry.position:>5} {name}", entry, room_when=room + 6)
