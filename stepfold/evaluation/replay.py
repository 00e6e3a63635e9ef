"""Every decision of a log, derived again from the steps before it. No model and no tool is near.

What is by "agent" is a decision, everything else a fact. The fence makes the state before it
exactly what its decider saw, so event, id and cause must all follow again. A decision that was not
made is legal: a fact (a second message, another worker's outcome) may win the race for a position,
and where a log ends the next decision is only pending.

    ReplayError
    ├── AgentMissing    the version that a conversation is pinned to is not there
    └── RoutesMissing   the routes that a model was chosen by are not there
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from difflib import unified_diff

import msgspec
from msgspec import Struct

from stepfold.events.envelope import Draft, Entry, follow
from stepfold.events.event import ConversationStarted, Event, Unreadable
from stepfold.events.values import Choice
from stepfold.events.wire import encode_event
from stepfold.handlers.choosing import World
from stepfold.handlers.decide import BY, Veto, decide
from stepfold.handlers.shell import NOBODY
from stepfold.handlers.states import Known, advance
from stepfold.policy.agent import Agent
from stepfold.projections.state import Conversation
from stepfold.routing import Routes, decode_routes
from stepfold.streams.archive import Archive, Key, entries
from stepfold.streams.log import Agents, AgentUnknown, Log, Shelf

START = Known()
NO_ROUTES: Mapping[str, bytes] = {}


class ReplayError(Exception):
    """A log that cannot be replayed."""


class AgentMissing(ReplayError):
    """The version that a conversation is pinned to is not there."""


class RoutesMissing(ReplayError):
    """The routes that a model was chosen by are not there."""


class Report(Struct, frozen=True):
    """`model_calls` is 0: a replay never gets a model. `pending` decisions were still to be made
    where the log ends. `first` is the first difference as a diff; `differing` names the
    conversations that have one.
    """

    conversations: int = 0
    entries: int = 0
    decisions: int = 0
    differences: int = 0
    model_calls: int = 0
    pending: int = 0
    unreadable: int = 0
    first: str = ""
    differing: tuple[str, ...] = ()


class Replay:
    """Takes the steps of any number of conversations, each in order; `agents` and `routes` by
    digest.
    """

    def __init__(
        self,
        agents: Mapping[str, Agent],
        routes: Mapping[str, bytes] = NO_ROUTES,
        *,
        vetoes: Sequence[Veto] = (),
    ) -> None:
        self._agents = agents
        self._routes = routes
        self._tables: dict[str, Routes] = {"": Routes()}
        self._vetoes = vetoes
        self._known: dict[Key, Known] = {}
        self._entries = self._decisions = self._differences = self._unreadable = 0
        self._first = ""
        self._differing: dict[Key, None] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """Raises AgentMissing; a difference is counted."""
        for entry in entries:
            before = self._known.get(entry.key, START)
            self._entries += 1
            self._unreadable += isinstance(entry.event, Unreadable)
            if entry.by == BY:
                self._decisions += 1
                self._check(before, entry, self._world(entry))
            self._known[entry.key] = advance(before, (entry,))

    def report(self) -> Report:
        pending = sum(
            len(self._expected(key, known, World(key[0], conversation=key[1])))
            for key, known in self._known.items()
        )
        return Report(
            conversations=len(self._known),
            entries=self._entries,
            decisions=self._decisions,
            differences=self._differences,
            pending=pending,
            unreadable=self._unreadable,
            first=self._first,
            differing=tuple("/".join(key) for key in self._differing),
        )

    def state(self, key: Key) -> Conversation:
        """The state of one conversation after its last step so far."""
        return self._known.get(key, START).state

    def _check(self, before: Known, entry: Entry, world: World) -> None:
        expected = self._expected(entry.key, before, world)
        drafts = follow(before.cause, BY, expected[:1]) if before.cause else []
        if drafts and _same(drafts[0], entry):
            return
        self._differences += 1
        self._differing[entry.key] = None
        self._first = self._first or _diff(drafts[0] if drafts else None, entry, before.state)

    def _world(self, entry: Entry) -> World:
        """What the decision knew beside the conversation: its choice says it."""
        found: Choice | None = getattr(entry.event, "choice", None)
        if found is None:
            return World(entry.customer, conversation=entry.conversation)
        return World(
            customer=entry.customer,
            conversation=entry.conversation,
            routes=self._table(entry, found.table),
            table=found.table,
            hour=found.hour,
            budget=found.budget,
            budget_left_usd=found.budget_left_usd,
        )

    def _table(self, entry: Entry, name: str) -> Routes:
        if name not in self._tables:
            if name not in self._routes:
                raise RoutesMissing(
                    f"conversation {'/'.join(entry.key)}: the routes {name}, by which step"
                    f" {entry.position} chose its model, are missing: export the conversation again"
                    " from the log that ran it, with `stepfold export`"
                )
            self._tables[name] = decode_routes(self._routes[name])
        return self._tables[name]

    def _expected(self, key: Key, known: Known, world: World) -> tuple[Event, ...]:
        state = known.state
        if not state.digest:
            return decide(NOBODY, state, self._vetoes, world)
        agent = self._agents.get(state.digest)
        if agent is None:
            have = ", ".join(sorted(self._agents)) or "none"
            raise AgentMissing(
                f"conversation {'/'.join(key)}: agent {state.agent!r} is missing in the version"
                f" {state.digest} (there: {have}): export the conversation again from the log that"
                " ran it, with `stepfold export`"
            )
        return decide(agent, state, self._vetoes, world)


def _same(expected: Draft, entry: Entry) -> bool:
    return (
        expected.id == entry.id
        and expected.event == entry.event
        and expected.cause == entry.cause
        and expected.trace == entry.trace
    )


def _diff(expected: Draft | None, entry: Entry, state: Conversation) -> str:
    where = f"{'/'.join(entry.key)} step {entry.position}"
    derived = _pretty(expected) if expected else [_why_none(state)]
    lines = unified_diff(
        derived, _pretty(entry), f"{where}, derived", f"{where}, recorded", n=100, lineterm=""
    )
    return "\n".join(lines)


def _pretty(step: Draft) -> list[str]:
    form = {
        "id": step.id,
        "cause": step.cause,
        "trace": step.trace,
        "event": msgspec.Raw(encode_event(step.event)),
    }
    return msgspec.json.format(msgspec.json.encode(form), indent=2).decode().splitlines()


def _why_none(state: Conversation) -> str:
    if state.unreadable:
        return f"(no decision: a step before is unreadable: {state.unreadable.reason})"
    if state.stopped:
        return f"(no decision: the conversation was stopped: {state.stopped})"
    return "(no decision: it is not the agent's move)"


def replay_archive(archive: Archive, *, vetoes: Sequence[Veto] = ()) -> Report:
    """Every conversation of a file, with the agents of its header."""
    replay = Replay(archive.agents, archive.routes, vetoes=vetoes)
    replay.take(entries(archive))
    return replay.report()


async def replay_log(
    log: Log,
    agents: Agents,
    routes: Shelf,
    *,
    key: Key | None = None,
    vetoes: Sequence[Veto] = (),
) -> Report:
    """Every conversation of a log as it is now, or one (customer, conversation)."""
    versions: dict[str, Agent] = {}
    tables: dict[str, bytes] = {}
    replay = Replay(versions, tables, vetoes=vetoes)
    async for found in _parts(log, key):
        for entry in found:
            if isinstance(entry.event, ConversationStarted):
                await _fetch(agents, entry.event.digest, versions)
            found_choice: Choice | None = getattr(entry.event, "choice", None)
            if found_choice and found_choice.table not in tables:
                raw = await routes.get(found_choice.table) if found_choice.table else None
                tables |= {found_choice.table: raw} if raw else {}
        replay.take(found)
    return replay.report()


async def _parts(log: Log, key: Key | None) -> AsyncIterator[list[Entry]]:
    if key is not None:
        yield await log.read(*key)
        return
    last: dict[Key, int] = {}
    scan = log.scan()
    async with aclosing(scan) as batches:
        async for batch in batches:
            yield list(entries(batch, last))


async def _fetch(agents: Agents, name: str, versions: dict[str, Agent]) -> None:
    """A version that was never kept is only an error when something must be decided with it."""
    if not name or name in versions:
        return
    with suppress(AgentUnknown):
        versions[name] = await agents.get(name)
