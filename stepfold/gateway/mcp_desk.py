"""What a program outside may ask of our agents: a question, a search, a conversation.

It stands for one customer. What it asks is a message like any other, in conversations of its own;
by default they are of an agent whose tools only read.

DeskRefused    what was asked cannot be given; the text is for whoever asked
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import Opened
from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Event,
    MessageReceived,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.names import conversation_filter, token
from stepfold.events.values import Citation, Passage
from stepfold.gateway.placing import address, titles_in
from stepfold.gateway.steps import at_rest
from stepfold.handlers.inbox import Inbox, Message
from stepfold.knowledge.knowledge import Knowledge
from stepfold.policy.agent import Agent
from stepfold.policy.grants import resolve
from stepfold.policy.toolspec import ToolSpec
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import EMPTY
from stepfold.streams.jetstream import JetStreamLog

CHANNEL = "mcp"
ASKS_MAX = 16
"""Questions that are waited for at a time."""
SAID_MAX = 200
"""Of a long conversation so many of the last words are told."""

Watch = Callable[[str], Awaitable[None]]
"""Is told the kind of each step, while an answer is waited for."""


class DeskRefused(Exception):
    """What was asked cannot be given."""


class Cited(Struct, frozen=True):
    """`url` is the page, or a name of the characters in another document."""

    document: str
    quote: str
    title: str
    url: str


class Answered(Struct, frozen=True):
    """`outcome` is `answer`, or what the agent's rules made of it: `refusal`, `hand_off`."""

    conversation: str
    answer: str
    outcome: str
    citations: tuple[Cited, ...]


class Words(Struct, frozen=True):
    """What somebody said, or why nothing was; `at` is ISO 8601."""

    who: str
    text: str
    at: str
    citations: tuple[Cited, ...] = ()


class Told(Struct, frozen=True):
    """A conversation; `left_out` is how many words before these are not told."""

    conversation: str
    agent: str
    answering: bool
    left_out: int
    said: tuple[Words, ...]


class Desk:
    """`agent` answers; with `writes` its tools may change something, and so may those of the
    conversations that are joined. `reads` is whether passages may be read, and why a turn failed.
    """

    def __init__(  # noqa: PLR0913  (what it needs to answer)
        self,
        found: Opened,
        inbox: Inbox,
        knowledge: Knowledge,
        agent: Agent,
        *,
        customer: str,
        wait_s: float,
        writes: bool,
        reads: bool = True,
    ) -> None:
        self.customer = token("customer", customer)
        self.agent = agent
        self._found = found
        self._inbox = inbox
        self._knowledge = knowledge
        self._wait_s = wait_s
        self._writes = writes
        self._reads = reads
        self._asking = 0

    async def ask(self, question: str, conversation: str, trace: str, watch: Watch) -> Answered:
        """The answer; a conversation that is empty is a new one."""
        if self._asking >= ASKS_MAX:
            raise DeskRefused(f"{ASKS_MAX} questions are being answered: ask again later")
        if conversation:
            await self._check_joinable(conversation)
        name = conversation or f"{CHANNEL}-{secrets.token_hex(8)}"
        message = Message(
            self.customer, name, question, secrets.token_hex(8), channel=CHANNEL, trace=trace
        )
        self._asking += 1
        try:
            entry = await self._inbox.receive(message)
            return _answered(name, await self._wait(entry, watch), reads=self._reads)
        finally:
            self._asking -= 1

    async def search(self, query: str, passages: int) -> Sequence[Passage]:
        """The passages that the agent would find, best first."""
        if not self._reads:
            raise DeskRefused("this key may not read documents: it needs the scope read")
        if not self.agent.collections:
            raise DeskRefused(f"agent {self.agent.name!r} has no knowledge to search")
        return await self._knowledge.search(self.agent.collections, query, passages)

    async def conversation(self, name: str) -> Told:
        entries = await self._read(name)
        titles = _titles(entries)
        words = [
            said
            for entry in entries
            if (said := _words(entry, titles, reads=self._reads)) is not None
        ]
        state = replay(entry.event for entry in entries)
        return Told(
            conversation=name,
            agent=state.agent,
            answering=not at_rest(state),
            left_out=max(0, len(words) - SAID_MAX),
            said=tuple(words[-SAID_MAX:]),
        )

    async def _wait(self, message: Entry, watch: Watch) -> list[Entry]:
        entries: list[Entry] = []
        try:
            async with asyncio.timeout(self._wait_s):
                after = message.position - 1
                async with aclosing(_until_rest(self._found.log, message, after)) as steps:
                    async for each in steps:
                        entries.append(each)
                        await watch(kind(each.event))
        except TimeoutError:
            raise DeskRefused(
                f"no answer within {self._wait_s:g} s; it is still being worked on:"
                f" look at conversation {message.conversation!r} later"
            ) from None
        return entries

    async def _read(self, name: str) -> list[Entry]:
        entries = await self._found.log.read(self.customer, token("conversation", name))
        if not entries:
            raise DeskRefused(f"there is no conversation {name!r}")
        return entries

    async def _check_joinable(self, name: str) -> None:
        """Only what was begun here is joined, and only if its agent may do no more than ours."""
        started = (await self._read(name))[0].event
        if not isinstance(started, ConversationStarted) or started.channel != CHANNEL:
            raise DeskRefused(f"conversation {name!r} was not begun here: ask without one")
        pinned = await self._found.agents.get(started.digest)
        if not self._writes and pinned != reading(pinned, {}):
            raise DeskRefused(
                f"conversation {name!r} is of an agent that may write: ask without one"
            )


def reading(agent: Agent, specs: Mapping[str, ToolSpec]) -> Agent:
    """The agent with those of its tools that only read, as far as that is known, and no code."""
    granted = resolve(agent, specs)
    grants = {name: each for name, each in granted.grants.items() if each.effect == "read"}
    tools = tuple(name for name in agent.tools if name in grants)
    return replace(granted, tools=tools, grants=grants, sandbox="")


async def _until_rest(log: JetStreamLog, message: Entry, after: int) -> AsyncGenerator[Entry, None]:
    """The steps beyond `after` as they come, until what `message` began has come to rest."""
    state = EMPTY
    async with aclosing(log.follow(conversation_filter(*message.key), after=0)) as entries:
        async for entry in entries:
            state = evolve(state, entry.event)
            if entry.position > after:
                yield entry
            if entry.position >= message.position and at_rest(state):
                return


def _answered(name: str, entries: list[Entry], *, reads: bool) -> Answered:
    given = [entry.event for entry in entries if isinstance(entry.event, ResponseGiven)]
    if not given:
        raise DeskRefused(f"no answer: {_why(entries, reads=reads)}; conversation {name!r}")
    last = given[-1]
    return Answered(name, last.text, last.outcome, _cited(last.citations, _titles(entries)))


def _why(entries: list[Entry], *, reads: bool) -> str:
    reasons = [why for entry in entries if (why := _ending(entry.event, reads=reads))]
    return reasons[-1] if reasons else "the turn ended without one"


def _words(entry: Entry, titles: Mapping[str, str], *, reads: bool) -> Words | None:
    at = entry.at.isoformat()
    match entry.event:
        case MessageReceived(text=text, contact=contact):
            return Words(contact or "contact", text, at)
        case ResponseGiven(text=text, citations=citations):
            return Words("agent", text, at, _cited(citations, titles))
        case event:
            why = _ending(event, reads=reads)
            return Words("nobody", f"no answer: {why}", at) if why else None


def _ending(event: Event, *, reads: bool) -> str:
    """Why a turn ended without an answer; empty for any other step. A detail may name what only
    readers may know.
    """
    match event:
        case TurnAbandoned(reason=reason, detail=detail):
            return f"{reason}: {detail}" if detail and reads else reason
        case TurnCancelled(reason=reason) | ConversationStopped(reason=reason):
            return reason
        case _:
            return ""


def _titles(entries: Sequence[Entry]) -> dict[str, str]:
    """Of the documents that were found, by their names."""
    return {name: title for each in entries for name, title in titles_in(each.event).items()}


def _cited(citations: Sequence[Citation], titles: Mapping[str, str]) -> tuple[Cited, ...]:
    """A document that was found in an earlier turn is called by its name."""
    return tuple(
        Cited(
            document=each.document,
            quote=each.quote,
            title=titles.get(each.document) or each.document,
            url=address(each),
        )
        for each in citations
    )
