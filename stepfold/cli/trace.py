"""`stepfold trace export`: the log as spans, on stdout or to a receiver that speaks OTLP.

Spans follow from the log, ids included: what is exported again is the same spans, not more of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import Struct

from stepfold.app import Opened, opened
from stepfold.cli.exits import hide_password
from stepfold.cli.find import Key, read
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json
from stepfold.cli.since import HELP, moment
from stepfold.cli.where import existing
from stepfold.events.names import EventError, token
from stepfold.events.steps import Stored
from stepfold.events.wire import decode
from stepfold.observability.otlp import SPANS_MAX, SpanSender, address
from stepfold.observability.span import Span
from stepfold.observability.spans import NONE, START, Spans, Tracing, advance, spans
from stepfold.settings import Settings
from stepfold.streams.config import STEPS

commands = typer.Typer(
    help="What happened, as traces. Each turn is one, each call in it a span.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Wanted(Struct, frozen=True):
    """Which spans: of one conversation, of one customer, or all; those that ended since then."""

    conversation: str = ""
    customer: str = ""
    since: datetime | None = None

    def of(self, told: Spans) -> Spans:
        since = self.since
        return told if since is None else tuple(span for span in told if span.end >= since)


class Sent(Struct, frozen=True):
    spans: int
    to: str


@commands.command()
def export(
    conversation: Annotated[
        str | None,
        typer.Argument(metavar="CONVERSATION", help="One alone (default: the whole log)."),
    ] = None,
    *,
    customer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only conversations of this one.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help=HELP)] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send them there, by OTLP, as to http://localhost:4318."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print spans as JSON, one a line, or send them to a receiver such as Phoenix or Langfuse.

    Only what has ended is told; `--since` looks at its end. Sending the same again changes nothing.
    """
    if conversation is not None and customer is not None:
        why = "a conversation is named with its customer: CUSTOMER/CONVERSATION"
        raise typer.BadParameter(why, param_hint="--customer")
    wanted = Wanted(
        conversation=conversation or "",
        customer=token("customer", customer) if customer is not None else "",
        since=moment(since, datetime.now(UTC)) if since is not None else None,
    )
    place = address(to) if to is not None else ""
    sent = asyncio.run(_export(existing(data), wanted, place))
    if place:
        _say(Sent(sent, hide_password(place)), json=json)


async def _export(here: Settings, wanted: Wanted, place: str) -> int:
    async with opened(here) as found, aclosing(told(found, wanted)) as batches:
        return await _send(batches, place) if place else await _print(batches)


async def told(found: Opened, wanted: Wanted) -> AsyncGenerator[Spans, None]:
    """The spans in the order in which they became final, some at a time."""
    if wanted.conversation:
        yield wanted.of(spans(await read(found, wanted.conversation)))
        return
    fold = _Fold(wanted.customer)
    async with aclosing(found.log.scan()) as batches:
        async for batch in batches:
            yield wanted.of(tuple(span for stored in batch for span in fold.see(stored)))


class _Fold:
    """Every conversation of the log, or of one customer, on its way to spans."""

    def __init__(self, customer: str) -> None:
        self._begin = f"{STEPS}.{customer}." if customer else ""
        self._states: dict[Key, Tracing] = {}

    def see(self, stored: Stored) -> Spans:
        if not stored.subject.startswith(self._begin):
            return NONE
        with suppress(EventError):  # a subject that is no step's belongs to no conversation
            entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
            state = self._states.get(entry.key, START)
            self._states[entry.key], final = advance(state, entry)
            return final
        return NONE


async def _print(batches: AsyncIterator[Spans]) -> int:
    number = 0
    async for batch in batches:
        for span in batch:
            say_json(span)
        number += len(batch)
    return number


async def _send(batches: AsyncIterator[Spans], place: str) -> int:
    sender, waiting, sent = SpanSender(place), list[Span](), 0
    try:
        async for batch in batches:
            waiting += batch
            if len(waiting) >= SPANS_MAX:
                sent += await asyncio.to_thread(sender.send, waiting)
                waiting = []
        return sent + await asyncio.to_thread(sender.send, waiting)
    finally:
        sender.close()


def _say(sent: Sent, *, json: bool) -> None:
    if json:
        say_json(sent)
    else:
        say(paragraph(f"{count(sent.spans, 'span')} sent to {sent.to}"))
