"""What another version of an agent would have allowed in a log: each call that a model wanted, each
answer that was given, asked of the same pure rules again. No model and no tool is near.

What the conversation was by then is as the log has it: what would have come of another decision,
nobody can know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime

from stepfold.evaluation.backtest_counts import Happened, Report, Tally, Verdict, Wanted
from stepfold.events.citation import refusal
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalRequested,
    CodeRequested,
    ConversationStarted,
    Event,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    ToolRefused,
    ToolRequested,
)
from stepfold.events.values import Outcome, Refusal, Text, ToolCall
from stepfold.handlers.answering import given_by
from stepfold.handlers.choosing import World, shown
from stepfold.handlers.decide import NEEDS, rule_for, who
from stepfold.policy.agent import Agent, offered
from stepfold.policy.gate import Who, why_not
from stepfold.policy.grants import resolve
from stepfold.policy.toolspec import ToolSpec
from stepfold.projections.conversation import evolve
from stepfold.projections.state import EMPTY, Conversation
from stepfold.streams.archive import Archive, Key, entries
from stepfold.streams.log import Agents, AgentUnknown, Log

NO_MONEY = World(budget="read_only")


class Backtest:
    """Takes the steps of any number of conversations, each in order. Those of agents with the name
    of `agent` are reported when there are some, else all; with `every`, all in any case. What is
    before `since` is only folded.
    """

    def __init__(
        self,
        agent: Agent,
        versions: Mapping[str, Agent],
        specs: Mapping[str, ToolSpec],
        *,
        since: datetime | None = None,
        every: bool = False,
    ) -> None:
        self._agent = agent
        self._versions = versions
        self._specs = specs
        self._since = since
        self._every = every
        self._resolved: dict[str, Agent] = {}
        self._open: dict[Key, _Open] = {}
        self._tallies: dict[str, Tally] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            one = self._open.setdefault(entry.key, _Open())
            before, one.state = one.state, evolve(one.state, entry.event)
            if one.state.agent and not before.unreadable:
                self._look(entry, before, one)

    def report(self) -> Report:
        named = [self._tallies[name] for name in self._tallies if name == self._agent.name]
        chosen = named if named and not self._every else list(self._tallies.values())
        total = Tally()
        for tally in chosen:
            total.add(tally)
        for key, one in self._open.items():
            if one.seen and self._tally(one.state) in chosen:
                total.conversations += 1
                total.unreadable += one.state.unreadable is not None
                for waiting in one.wanted.values():
                    total.call(key, waiting, "open", "")
        return Report(
            agents=tuple(sorted(name for name, tally in self._tallies.items() if tally in chosen)),
            conversations=total.conversations,
            unreadable=total.unreadable,
            calls=tuple(total.calls()),
            answered=total.answered(),
            unknown=tuple(sorted(total.tools() & self._unknown())),
        )

    def _look(self, entry: Entry, before: Conversation, one: _Open) -> None:
        if self._since is not None and entry.at < self._since:
            return
        event, state, tally = entry.event, one.state, self._tally(one.state)
        one.seen = True
        match event:
            case Reasoned() if before.turn is not None and before.turn.thinking == event.call:
                self._want(entry, state, one)
            case ReasonRequested(attempt=1, shadow=False) if _opens(before, event):
                channels = self._agent.channels
                tally.turns += 1
                tally.elsewhere += bool(channels) and state.channel not in channels
            case ResponseGiven() if before.turn is not None and before.turn.answer is not None:
                self._answer(entry.key, before, before.turn.answer, event, tally)
            case _:
                call, happened, reason = _decided(event)
                if happened != "open" and call in one.wanted:
                    tally.call(entry.key, one.wanted.pop(call), happened, reason)

    def _want(self, entry: Entry, state: Conversation, one: _Open) -> None:
        agent = self._with_effects(state.digest)
        if state.turn is None:
            return
        asks = who(state.turn, World(entry.customer, conversation=entry.conversation))
        calls = state.turn.wanted
        pinned = self._versions.get(state.digest)
        for call in calls:
            verdict, reason = judge(agent, state, call, asks, pinned)
            one.wanted[call.call] = Wanted(call.name, verdict, reason)

    def _answer(
        self, key: Key, state: Conversation, answer: Reasoned, given: ResponseGiven, tally: Tally
    ) -> None:
        text = "".join(part.text for part in answer.parts if isinstance(part, Text | Refusal))
        cited = [c for part in answer.parts if isinstance(part, Text) for c in part.citations]
        accepted = [c for c in cited if refusal(c, state.passages) is None]
        now: Outcome = "answer"
        reason, cut = "", False
        if self._agent.answers is not None:
            would = given_by(self._agent.answers, given.turn, text, accepted, ())
            now, reason = would.outcome, would.reason
            cut = now == "answer" and would.text != text
        tally.answer(key, given.outcome, now, reason or given.reason, cut=cut)

    def _tally(self, state: Conversation) -> Tally:
        return self._tallies.setdefault(state.agent, Tally())

    def _with_effects(self, digest: str) -> Agent:
        """The agent, as it would have been appointed: with what its tools were by then."""
        if digest not in self._resolved:
            pinned = self._versions.get(digest)
            unknown = {name: ToolSpec(name) for name in self._agent.tools}
            known = {**unknown, **(_specs(pinned) if pinned else {}), **self._specs}
            self._resolved[digest] = resolve(self._agent, known)
        return self._resolved[digest]

    def _unknown(self) -> frozenset[str]:
        told = {name for agent in self._versions.values() for name in agent.grants}
        return frozenset(self._agent.tools) - told - self._specs.keys()


class _Open:
    """One conversation: what it is, and the calls of which it is not known yet what was decided."""

    def __init__(self) -> None:
        self.state = EMPTY
        self.seen = False
        self.wanted: dict[str, Wanted] = {}


def judge(
    agent: Agent, state: Conversation, call: ToolCall, asks: Who, pinned: Agent | None = None
) -> tuple[Verdict, str]:
    """What this agent makes of a call that was just wanted in `state`, and why. What `pinned` has
    and did not offer then, for the budget's sake, this one would not have offered either.
    """
    turn = state.turn
    assert turn is not None
    index = turn.wanted.index(call)
    if why := _why_not(agent, call, index, asks):
        return "refused", why
    spared = pinned is not None and call.name in offered(pinned) and call.name not in turn.offered
    if spared and call.name not in shown(agent, NO_MONEY):
        return "refused", "the budget was nearly used up: only tools that read were offered"
    rule = rule_for(agent, turn, call.name, call.arguments, asks)
    return ("approval", rule[1]) if rule else ("allowed", "")


def _why_not(agent: Agent, call: ToolCall, index: int, asks: Who) -> str | None:
    if why := why_not(agent, call.name, call.arguments, asks):
        return why
    if index >= agent.limits.calls_max:
        return f"an answer may make {agent.limits.calls_max} calls, this is number {index + 1}"
    if call.name in agent.tools:
        return None
    name, what = NEEDS[call.name]
    given = call.arguments.get(name)
    return None if given and isinstance(given, str) else f"{call.name} needs {what}"


def _specs(agent: Agent) -> dict[str, ToolSpec]:
    """What the tools of a version were when it was appointed."""
    return {
        name: ToolSpec(name, effect=grant.effect, recovery=grant.recovery, trusted=grant.trusted)
        for name, grant in agent.grants.items()
    }


def _opens(before: Conversation, event: ReasonRequested) -> bool:
    return before.turn is None or before.turn.number != event.turn


def _decided(event: Event) -> tuple[str, Happened, str]:
    """The call that this step decided on, how, and why; `open` when it decided on none."""
    match event:
        case ToolRefused():
            return event.call, "refused", event.reason
        case ApprovalRequested():
            return event.call, "approval", event.reason
        case ToolRequested() | CodeRequested() | RetrievalRequested():
            return event.call, "allowed", ""
        case _:
            return "", "open", ""


# -- over a log ---------------------------------------------------------------------------------


def backtest_archive(
    archive: Archive,
    agent: Agent,
    specs: Mapping[str, ToolSpec],
    *,
    since: datetime | None = None,
    every: bool = False,
) -> Report:
    """Every conversation of a file, with the agents of its header."""
    backtest = Backtest(agent, archive.agents, specs, since=since, every=every)
    backtest.take(entries(archive))
    return backtest.report()


async def backtest_log(
    log: Log,
    agents: Agents,
    agent: Agent,
    specs: Mapping[str, ToolSpec],
    *,
    since: datetime | None = None,
    every: bool = False,
) -> Report:
    """Every conversation of a log as it is now."""
    versions: dict[str, Agent] = {}
    backtest = Backtest(agent, versions, specs, since=since, every=every)
    last: dict[Key, int] = {}
    async with aclosing(log.scan()) as batches:
        async for batch in batches:
            found: Sequence[Entry] = list(entries(batch, last))
            for entry in found:
                if isinstance(entry.event, ConversationStarted):
                    await _fetch(agents, entry.event.digest, versions)
            backtest.take(found)
    return backtest.report()


async def _fetch(agents: Agents, name: str, versions: dict[str, Agent]) -> None:
    """A version that was never kept says nothing of its tools."""
    if name and name not in versions:
        with suppress(AgentUnknown):
            versions[name] = await agents.get(name)
