"""`stepfold chat`: one conversation with an agent, line by line."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from stepfold import settings
from stepfold.app import Opened, Parts, opened, working
from stepfold.cli import stdin
from stepfold.cli.equipping import equipped, isolation
from stepfold.cli.exits import CommandRefused
from stepfold.cli.options import (
    AgentFile,
    Data,
    HooksModule,
    Json,
    Script,
    ToolFiles,
    Traceparent,
)
from stepfold.cli.screen import count, is_interactive, lapse, paragraph, price, say, say_json
from stepfold.cli.tables import NO_ROUTE
from stepfold.cli.turn import answer_of, say_answer, until_rest
from stepfold.cli.words import words
from stepfold.cli.workers import choose_agent, parts_of, told_knowledge
from stepfold.events.envelope import Entry
from stepfold.events.event import ApprovalRequested, Event, TurnAbandoned
from stepfold.handlers.inbox import Inbox, Message
from stepfold.handlers.table import LANES
from stepfold.policy.agent import Agent
from stepfold.settings import Settings
from stepfold.tools.printed import aside, kept_apart

CUSTOMER = "chat"
CHANNEL = "cli"
ADD_ROUTES = "Add routes with `stepfold route apply FILE`."


class Talk(Struct, frozen=True):
    """Where it goes what somebody types; `trace` is the traceparent of who started the command."""

    inbox: Inbox
    conversation: str
    trace: str
    channel: str = ""

    async def say(self, text: str) -> Entry:
        id = secrets.token_hex(8)
        return await self.inbox.receive(
            Message(CUSTOMER, self.conversation, text, id, channel=self.channel, trace=self.trace)
        )


class Given(Struct, frozen=True):
    """What the command line brings; `brought` says that it is for workers of its own."""

    agent: Path | None
    script: Path | None
    tools: tuple[Path, ...]
    brought: bool
    channel: str


def chat(
    *,
    data: Data = None,
    agent: AgentFile = None,
    script: Script = None,
    hooks: HooksModule = None,
    tools: ToolFiles = None,
    channel: Annotated[
        str, typer.Option(metavar="NAME", help="The channel that the contact writes by.")
    ] = CHANNEL,
    traceparent: Traceparent = "",
    json: Json = False,
) -> None:
    """Talk to an agent; Ctrl-D ends it. Where nobody serves the log, it brings its own workers."""
    here = settings.read(folder=data)
    brought = bool(script or hooks or tools)
    given = Given(agent, script, tuple(tools or ()), brought, channel)
    with kept_apart():
        with aside():
            parts = parts_of(here, script, hooks)
        asyncio.run(_chat(here, parts, given, traceparent, json=json))


async def _chat(
    here: Settings,
    parts: Parts,
    given: Given,
    traceparent: str,
    *,
    json: bool,
) -> None:
    async with opened(here) as found, AsyncExitStack() as stack:
        served = LANES.keys() <= await found.served()
        if served and given.brought:
            raise CommandRefused(
                "workers serve this log, and they answer with what they were started with: stop"
                " them, or leave out --script, --hooks and --tools"
            )
        parts = await stack.enter_async_context(equipped(found, here, parts, given.tools))
        chosen = await choose_agent(found, parts, given.agent, given.script)
        if not served:
            await isolation(chosen, parts)
            await stack.enter_async_context(working(found, parts))
        talk = Talk(await found.inbox(chosen), secrets.token_hex(4), traceparent, given.channel)
        if is_interactive() and not json:
            _greet(here, chosen, talk.conversation)
        await _talk(found, talk, json=json)


def _greet(here: Settings, agent: Agent, conversation: str) -> None:
    say(f"{agent.name}, conversation {CUSTOMER}/{conversation}", bold=True)
    say(paragraph(f"knowledge: {told_knowledge(here, agent)}", rest="  "))
    say("Ctrl-D ends it.")


async def _talk(found: Opened, talk: Talk, *, json: bool) -> None:
    prompts = is_interactive() and not json
    _prompt(prompts)
    async for line in stdin.lines():
        if line.strip():
            await _say_and_hear(found, talk, line.strip(), json=json)
        _prompt(prompts)
    if prompts:
        say()


def _prompt(wanted: bool) -> None:
    if wanted:
        typer.echo("> ", nl=False)


async def _say_and_hear(found: Opened, talk: Talk, text: str, *, json: bool) -> None:
    message = await talk.say(text)
    after = message.position - 1
    entries = []
    async for entry in until_rest(found.log, message, after=after):
        entries.append(entry)
        if isinstance(entry.event, ApprovalRequested) and not json:
            _say_waits(entry.event, talk)
    answer = answer_of(entries)
    if json:
        say_json(answer)
        return
    say_answer(entries)
    if any(_lacks_route(entry.event) for entry in entries):
        say(paragraph(ADD_ROUTES, first="  ", rest="  "))
    calls = count(answer.model_calls, "model call")
    say(f"  {lapse(answer.elapsed_ms)}, {calls}, {price(answer.cost_usd)}", dim=True)


def _say_waits(request: ApprovalRequested, talk: Talk) -> None:
    where = f"{CUSTOMER}/{talk.conversation}"
    told = f"{words(request)} waits for people; elsewhere: stepfold approval show {where}"
    say(paragraph(told, first="  ", rest="  "), dim=True)


def _lacks_route(event: Event) -> bool:
    if not isinstance(event, TurnAbandoned) or event.choice is None:
        return False
    return event.choice.route.startswith(NO_ROUTE)
