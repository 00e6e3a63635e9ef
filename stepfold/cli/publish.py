"""`stepfold publish`: one message into the log, and the answer when it is waited for."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import Opened, opened
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.files import kept
from stepfold.cli.options import Data, Json, Traceparent
from stepfold.cli.screen import lapse, say, say_json, warn
from stepfold.cli.turn import answer_of, say_answer, until_rest
from stepfold.events.envelope import Entry
from stepfold.events.event import ResponseGiven
from stepfold.handlers.inbox import Message
from stepfold.handlers.table import LANES
from stepfold.settings import Settings

CHANNEL = "cli"


def publish(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What the contact says; - reads it from stdin.")
    ],
    *,
    customer: Annotated[str, typer.Option(metavar="C", help="The company whose contact it is.")],
    conversation: Annotated[
        str, typer.Option(metavar="V", help="A new one, or one that is there.")
    ],
    id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The message's own id: the same id is the same message."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An image or a document beside it; any number."),
    ] = None,
    language: Annotated[
        str, typer.Option(metavar="TAG", help="What it is written in, as de or pt-BR.")
    ] = "",
    wait: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait for the answer so long.")
    ] = None,
    traceparent: Traceparent = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Record a message of a contact. `stepfold serve` answers it, now or later.

    Exit code 1 when the answer was waited for and the turn ended without one.
    """
    if text == "-":
        text = sys.stdin.read()
    name = id or secrets.token_hex(8)
    message = Message(
        customer,
        conversation,
        text,
        name,
        channel=CHANNEL,
        trace=traceparent,
        language=language,
    )
    asyncio.run(_publish(settings.read(folder=data), message, file or (), wait, json=json))


async def _publish(
    here: Settings, message: Message, files: Sequence[Path], wait: float | None, *, json: bool
) -> None:
    async with opened(here) as found:
        inbox = await found.inbox()
        message = replace(message, files=tuple([await kept(found, file) for file in files]))
        entry = await inbox.receive(message)
        if json:
            say_json(entry)
        else:
            say(f"recorded at {entry.position}: {'/'.join(entry.key)}, message {message.id}")
        if wait is None:
            return
        if not LANES.keys() <= await found.served():
            warn("nobody serves this log: start `stepfold serve` in another terminal")
        entries = await _wait(found, entry, wait)
        if json:
            say_json(answer_of(entries))
        else:
            say()
            say_answer(entries)
        if not any(isinstance(each.event, ResponseGiven) for each in entries):
            raise typer.Exit(REFUSED)


async def _wait(found: Opened, entry: Entry, wait_s: float) -> list[Entry]:
    entries: list[Entry] = []
    try:
        async with asyncio.timeout(wait_s):
            async for each in until_rest(found.log, entry, after=entry.position - 1):
                entries.append(each)
    except TimeoutError:
        raise CommandRefused(
            f"no answer within {lapse(wait_s * 1000)}; the message is in the log,"
            f" `stepfold show {'/'.join(entry.key)}` shows what became of it"
        ) from None
    return entries
