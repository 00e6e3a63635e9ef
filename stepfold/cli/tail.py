"""`stepfold tail`: the log as it is written, one line a step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import typer

from stepfold import settings
from stepfold.app import Opened, opened
from stepfold.cli.lines import say_line
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import pad, say_json, width
from stepfold.events.envelope import Entry
from stepfold.events.names import token
from stepfold.settings import Settings

LAST = 20
NAME_MIN, NAME_MAX = 14, 32


def tail(
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
    where = _where(customer, conversation)
    asyncio.run(_tail(settings.read(folder=data), where, after, follow=follow, json=json))


def _where(customer: str | None, conversation: str | None) -> str:
    one = token("customer", customer) if customer is not None else "*"
    other = token("conversation", conversation) if conversation is not None else "*"
    return "steps.>" if one == other == "*" else f"steps.{one}.{other}.>"


async def _tail(
    here: Settings, where: str, after: int | None, *, follow: bool, json: bool
) -> None:
    async with opened(here) as found:
        last = await found.log.last()
        begin = after if after is not None else max(0, last - LAST) if where == "steps.>" else 0
        async with aclosing(_entries(found, where, begin, last, follow=follow)) as entries:
            async for entry in entries:
                _say(entry, json=json)


async def _entries(
    found: Opened, where: str, after: int, last: int, *, follow: bool
) -> AsyncGenerator[Entry, None]:
    """Those up to `last` by reading, so that it ends; what comes after them by following."""
    async for entry in found.steps(where, after=after, last=last):
        yield entry
    if follow:
        async with aclosing(found.log.follow(where, after=max(after, last))) as entries:
            async for entry in entries:
                yield entry


def _say(entry: Entry, *, json: bool) -> None:
    if json:
        say_json(entry)
        return
    room = max(NAME_MIN, min(NAME_MAX, width() // 4))
    name = pad("/".join(entry.key), room)
    say_line(f"{entry.position:>5} {name}", entry, room_when=room + 6)
