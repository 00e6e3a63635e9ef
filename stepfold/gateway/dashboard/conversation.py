"""One conversation as a timeline of its steps, live while it runs."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from stepfold.events.envelope import Entry, kind
from stepfold.gateway.dashboard.page import HEADERS, Visit, nothing_here
from stepfold.gateway.dashboard.parts import Turn
from stepfold.gateway.dashboard.tables import file
from stepfold.gateway.dashboard.timeline import turns_of
from stepfold.gateway.dashboard.words import sum_of
from stepfold.gateway.front import Front
from stepfold.gateway.refusals import FrontRefused
from stepfold.handlers.approvals import Waiting
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import replay
from stepfold.projections.state import Conversation

TURNS_SHOWN, ITEMS_SHOWN = 20, 100
"""The latest ones, of the turns and of what is in each; the others are a click away."""
POSITION_DIGITS = 18
_encoder = msgspec.json.Encoder(decimal_format="string")


async def look(visit: Visit) -> Response:
    customer, name = visit.named("customer"), visit.named("conversation")
    who = visit.acting(customer)
    entries = await visit.front.read(who, name)
    state = replay(entry.event for entry in entries)
    turns = turns_of(entries)
    troubled = only_trouble(turns)
    wanted = troubled if visit.asked("only") == "failures" else turns
    shown = wanted if visit.asked("all") else latest(wanted)
    values = {
        "customer": customer,
        "name": name,
        "entries": entries,
        "state": state,
        "status": status(state, turns),
        "turns": shown,
        "hidden": sum(len(turn.items) for turn in wanted) - sum(len(turn.items) for turn in shown),
        "failed": sum(len(turn.items) for turn in troubled),
        "waiting": {
            each.agreement.request.call: each for each in await _waiting(visit.front, entries)
        },
        "agent": await _agent(visit.front, state),
        "spent": sum_of(turn.cost_usd for turn in turns if turn.paid),
        "unpriced": sum(turn.unpriced for turn in turns),
        "last": entries[-1].position,
    }
    part = {"timeline": "timeline.html", "facts": "facts.html"}.get(visit.part)
    return visit.page(part or "conversation.html", **values)


def latest(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    return tuple(
        replace(turn, items=turn.items[-ITEMS_SHOWN:]) if len(turn.items) > ITEMS_SHOWN else turn
        for turn in turns[-TURNS_SHOWN:]
    )


def only_trouble(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Of each turn what failed, was refused or needs a look; turns without any are left out."""
    told = (
        replace(turn, items=tuple(item for item in turn.items if item.tone in ("bad", "warn")))
        for turn in turns
    )
    return tuple(turn for turn in told if turn.items)


async def _waiting(front: Front, entries: list[Entry]) -> tuple[Waiting, ...]:
    if not any(kind(entry.event) == "approval.requested" for entry in entries):
        return ()
    return await front.approvals.waiting(*entries[0].key)


async def _agent(front: Front, state: Conversation) -> Agent | None:
    return await front.agent(state.digest) if state.digest else None


def status(state: Conversation, turns: tuple[Turn, ...]) -> tuple[str, str]:
    """In a word, and how it looks."""
    if state.stopped:
        return "stopped", "bad"
    if state.turn is not None:
        waits = any(each.pending for each in state.turn.agreements.values())
        return ("waits for people", "warn") if waits else ("running", "busy")
    if turns and turns[-1].tone == "bad":
        return "given up", "bad"
    return "at rest", "calm"


async def step(visit: Visit) -> Response:
    """One step as it lies in the log."""
    who = visit.acting(visit.named("customer"))
    asked = visit.named("position")
    if not asked.isdecimal() or len(asked) > POSITION_DIGITS:
        raise nothing_here()
    position = int(asked)
    entries = await visit.front.read(who, visit.named("conversation"), after=position - 1)
    if not entries or entries[0].position != position:
        raise nothing_here()
    raw = msgspec.json.format(_encoder.encode(entries[0]), indent=2).decode()
    if visit.part == "raw":
        return visit.page("step_raw.html", raw=raw)
    return Response(raw, headers=HEADERS, media_type="application/json")


async def export(visit: Visit) -> Response:
    """All steps, one a line."""
    form = visit.asked("form") or "jsonl"
    if form not in ("jsonl", "json"):
        raise FrontRefused(404, "No such file", "files are jsonl and json")
    who = visit.acting(visit.named("customer"))
    name = visit.named("conversation")
    entries = await visit.front.read(who, name)
    if form == "json":
        return file(name, "json", _encoder.encode(entries))
    lines = b"\n".join(map(_encoder.encode, entries)) + b"\n"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}.jsonl"'}
    return Response(lines, headers=headers, media_type="application/jsonl")
