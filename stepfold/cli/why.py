"""`stepfold why`: why each model of a conversation was asked, as its steps recorded it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal

from msgspec import Struct

from stepfold.app import opened
from stepfold.cli import find
from stepfold.cli.options import ConversationName, Data, Json
from stepfold.cli.screen import lapse, paragraph, price, say, say_json
from stepfold.cli.tables import NO_ROUTE, titled
from stepfold.cli.where import existing
from stepfold.cli.words import cost, elapsed_ms
from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    TurnAbandoned,
)
from stepfold.events.values import Choice
from stepfold.handlers.choosing import CONVERSE
from stepfold.settings import Settings

Asked = ReasonRequested | GenerationRequested
Ended = Reasoned | ReasonFailed | Generated | GenerationFailed
Abandoned = TurnAbandoned | GenerationAbandoned
NAMED = "the model was named, no route was asked"
NO_MORE = "no other was asked"
"""Where the end has nothing to do with a route: a limit, or a list of the agent's own."""


class Why(Struct, frozen=True):
    """One choice. `model` is empty where no more was asked; `outcome` is the kind of the step that
    came of it, empty while there is none, and `failure` its reason.
    """

    position: int
    call: str
    task: str
    model: str
    attempt: int
    shadow: bool
    why: str
    choice: Choice | None
    outcome: str = ""
    failure: str = ""
    elapsed_ms: float = 0
    cost_usd: Decimal | None = None


def why(conversation: ConversationName, data: Data = None, json: Json = False) -> None:
    """Say why each model of a conversation was asked.

    By which route, after what, instead of which other. Fallbacks, shadows and refusals are choices
    too.
    """
    entries = asyncio.run(_read(existing(data), conversation))
    choices = tuple(choices_of(entries))
    if json:
        say_json({"conversation": "/".join(entries[0].key), "choices": choices})
        return
    say("/".join(entries[0].key), bold=True)
    for each in choices:
        _say(each)
    if not choices:
        say("no model was asked yet")


async def _read(here: Settings, name: str) -> list[Entry]:
    async with opened(here) as found:
        return await find.read(found, name)


def choices_of(entries: Sequence[Entry]) -> Iterator[Why]:
    """In the order of the log."""
    ends = {each.event.call: each.event for each in entries if isinstance(each.event, Ended)}
    asked = {each.event.call: each.event for each in entries if isinstance(each.event, Asked)}
    for entry in entries:
        event = entry.event
        match event:
            case ReasonRequested() | GenerationRequested():
                yield _asked(entry.position, event, ends.get(event.call))
            case TurnAbandoned():
                yield _given_up(entry.position, event, f"turn {event.turn}", CONVERSE)
            case GenerationAbandoned():
                task = asked[event.call].task if event.call in asked else ""
                yield _given_up(entry.position, event, event.call, task)
            case _:
                continue


def _asked(position: int, request: Asked, end: Ended | None) -> Why:
    return Why(
        position=position,
        call=request.call,
        task=request.task,
        model=request.model,
        attempt=request.attempt,
        shadow=isinstance(request, ReasonRequested) and request.shadow,
        why=request.choice.why if request.choice else NAMED,
        choice=request.choice,
        outcome=kind(end) if end else "",
        failure=_failure(end),
        elapsed_ms=elapsed_ms(end) if end else 0,
        cost_usd=cost(end) if end else None,
    )


def _failure(end: Ended | None) -> str:
    if not isinstance(end, ReasonFailed | GenerationFailed):
        return ""
    return _because(end)


def _because(end: ReasonFailed | GenerationFailed | Abandoned) -> str:
    return f"{end.reason}: {end.detail}" if end.detail else end.reason


def _given_up(position: int, event: Abandoned, call: str, task: str) -> Why:
    return Why(
        position=position,
        call=call,
        task=task,
        model="",
        attempt=0,
        shadow=False,
        why=event.choice.why if event.choice else NO_MORE,
        choice=event.choice,
        outcome=kind(event),
        failure=_because(event),
    )


# -- shown --------------------------------------------------------------------------------------


def _say(each: Why) -> None:
    shadow = " (a shadow: its answer counts for nothing)" if each.shadow else ""
    say()
    head = f"{each.position} {each.call}: {each.model or 'no model'}{shadow}"
    say(paragraph(head, rest="  "), bold=True)
    for line in (*_reasons(each), *_outcome(each)):
        say(paragraph(line, first="  ", rest="    "))


def _reasons(each: Why) -> Iterator[str]:
    choice = each.choice
    if choice is None:
        again = f", attempt {each.attempt}" if each.attempt > 1 else ""
        yield f"{each.why}{again}"
        return
    place = f", place {choice.place}" if choice.place else ""
    yield f"{titled(choice.route)}{place}: {choice.why}"
    if choice.route.startswith(NO_ROUTE):
        yield "write one (docs/routing.md), then `stepfold route apply FILE`"
    for passed in choice.passed:
        yield f"not {passed}"
    facts = [f"{choice.hour} h UTC"] if choice.hour >= 0 else []
    if choice.budget_left_usd is not None:
        facts.append(f"{choice.budget_left_usd} USD of the budget left")
    facts += [f"budget: {choice.budget}"] * bool(choice.budget)
    if choice.table:
        facts.append(f"routes {choice.table}")
    if facts:
        yield ", ".join(facts)


def _outcome(each: Why) -> Iterator[str]:
    if not each.model:
        yield f"ended: {each.failure}"
    elif not each.outcome:
        yield "no outcome yet"
    else:
        spent = f"{lapse(each.elapsed_ms)}, {price(each.cost_usd)}"
        yield f"{each.outcome}, {spent}" + (f": {each.failure}" if each.failure else "")
