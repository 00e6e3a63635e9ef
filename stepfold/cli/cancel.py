"""`stepfold cancel`: end the running turn of a conversation."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from stepfold.app import opened
from stepfold.cli.find import find
from stepfold.cli.options import ConversationName, Data, Json
from stepfold.cli.screen import say, say_json
from stepfold.cli.where import existing
from stepfold.events.envelope import Entry
from stepfold.settings import Settings


def cancel(
    conversation: ConversationName,
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; it is recorded.")
    ] = "cancelled from the command line",
    data: Data = None,
    json: Json = False,
) -> None:
    """End the turn that runs; refused when none does. A tool that has started is not stopped."""
    entry = asyncio.run(_cancel(existing(data), conversation, reason))
    if json:
        say_json(entry)
    else:
        say(f"recorded at {entry.position}: the turn of {'/'.join(entry.key)} is cancelled")


async def _cancel(here: Settings, name: str, reason: str) -> Entry:
    async with opened(here) as found:
        key = await find(found, name)
        return await (await found.inbox()).cancel(*key, by="cli", reason=reason)
