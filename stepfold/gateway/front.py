"""What every door of the gateway goes through: who calls, and what of the log they may have.

A conversation belongs to exactly one customer, and the customer is the caller's. A visitor has only
the conversations of its own contact. To whom it is not given a conversation is not there: 404.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

from stepfold.app import Opened
from stepfold.events.envelope import Draft, Entry, first
from stepfold.events.event import ConversationStarted, Event, MessageReceived
from stepfold.events.names import NameRefused, token
from stepfold.events.traces import caller
from stepfold.events.values import FileRef
from stepfold.gateway.appointed import Appointed
from stepfold.gateway.asking import Row, ask_views
from stepfold.gateway.principal import (
    Principal,
)
from stepfold.gateway.refusals import (
    FrontRefused,
    Overtaken,
    nothing,
    refuse_bound,
    refuse_strange,
    refusing,
    used_again,
)
from stepfold.handlers.inbox import Inbox, Message
from stepfold.handlers.states import Known, States
from stepfold.knowledge.knowledge import Knowledge
from stepfold.policy.agent import Agent
from stepfold.streams.ask import AskRefused
from stepfold.streams.jetstream import JetStreamLog
from stepfold.streams.jetstream.listing import Listing
from stepfold.streams.listening import Happening, Shown, listening
from stepfold.streams.log import AgentUnknown, LogConflict
from stepfold.streams.memory import utc_now

AGENTS_MAX = 100
RACES_MAX = 100
STARTS_MAX = 100_000
"""How many conversations are remembered to be somebody's."""
log = logging.getLogger("stepfold.gateway")


class Front:
    """One per process; it holds nothing but the log."""

    def __init__(
        self, found: Opened, knowledge: Knowledge, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.found = found
        self.knowledge = knowledge
        self.clock = clock
        self.approvals = found.approvals()
        self._states = States(found.log, text=False)
        self._listing = Listing(found.client, found.log)
        self._appointed = Appointed(found)
        self._agents: OrderedDict[str, Agent] = OrderedDict()
        self._starts: OrderedDict[tuple[str, str], ConversationStarted] = OrderedDict()

    # -- agents -----------------------------------------------------------------------------------

    async def agents(self) -> tuple[Agent, ...]:
        """The agents that a new conversation can have."""
        agent, _ = await self._desk()
        return (agent,)

    async def agent(self, digest: str) -> Agent | None:
        """The version that a conversation is pinned to; None when it was never kept here."""
        known = self._agents.get(digest)
        if known is None:
            with refusing():
                try:
                    known = self._agents[digest] = await self.found.agents.get(digest)
                except AgentUnknown:
                    return None
            if len(self._agents) > AGENTS_MAX:
                self._agents.popitem(last=False)
        return known

    async def _desk(self, name: str = "") -> tuple[Agent, Inbox]:
        """The agent and the inbox of new conversations."""
        with refusing():
            agent, inbox = await self._appointed.now()
        if name and name != agent.name:
            why = f"there is no agent {name!r} (known: {agent.name})"
            raise FrontRefused(404, "No such agent", why)
        return agent, inbox

    # -- conversations ----------------------------------------------------------------------------

    async def start(
        self, who: Principal, conversation: str, *, channel: str, contact: str = "", agent: str = ""
    ) -> Entry:
        """Begin a conversation in which nothing is said yet; the same again is the same one."""
        with refusing():
            key = who.customer, token("conversation", conversation)
            refuse_bound(who, conversation)
            if await self._started(*key) is not None:
                return (await self.read(who, conversation))[0]
            pinned, _ = await self._desk(agent)
            digest = await self.found.agents.put(pinned)
            contact = who.contact or contact
            started = ConversationStarted(pinned.name, digest, contact, channel)
            by = f"contact:{contact}" if contact else channel
            draft = first(*key, started, by=by, key="start")
            try:
                (entry,) = await self.found.log.append([draft], after=0)
            except LogConflict:
                entry = (await self.read(who, conversation))[0]
            if isinstance(entry.event, ConversationStarted):  # the log knows whose it was first
                refuse_strange(who, conversation, entry.event)
            return entry

    async def say(  # noqa: PLR0913  (a message has as many parts)
        self,
        who: Principal,
        conversation: str,
        text: str,
        *,
        id: str,
        channel: str,
        contact: str = "",
        files: Sequence[FileRef] = (),
        language: str = "",
        trace: str = "",
        agent: str = "",
        after: int | None = None,
    ) -> Entry:
        """Record what a contact says; it begins its conversation when that is new. The same `id`
        is the same message. `agent` is for a new conversation. With `after` it is said right behind
        that position (0: it begins the conversation), or Overtaken.
        """
        with refusing():
            token("conversation", conversation)
            refuse_bound(who, conversation)
            message = Message(
                who.customer,
                conversation,
                text,
                id,
                contact=who.contact or contact,
                channel=channel,
                trace=trace if caller(trace) else "",
                files=tuple(files),
                language=language,
            )
            known = await self._states.refresh(who.customer, conversation)
            if known.position:
                await self.check(who, conversation)
            if id in known.state.messages:
                return await self._said(message)
            _, inbox = await self._desk("" if known.position else agent)
            try:
                return _same(message, await inbox.receive(message, after=after))
            except LogConflict as error:
                now = await self._states.refresh(who.customer, conversation)
                if id in now.state.messages:
                    return await self._said(message)
                raise Overtaken(conversation) from error

    async def _said(self, message: Message) -> Entry:
        """The message with this id, which is there."""
        for entry in await self.found.log.read(message.customer, message.conversation):
            if isinstance(entry.event, MessageReceived) and entry.event.message == message.id:
                return _same(message, entry)
        raise AssertionError(f"message {message.id!r} is in the state and not in the log")

    async def check(self, who: Principal, conversation: str) -> ConversationStarted:
        """How the conversation began; FrontRefused (404) when the caller has none of this name."""
        with refusing():
            refuse_bound(who, conversation)
            try:
                token("conversation", conversation)
            except NameRefused:
                raise nothing(conversation) from None
            started = await self._started(who.customer, conversation)
            if started is None:
                raise nothing(conversation)
            refuse_strange(who, conversation, started)
            return started

    async def read(self, who: Principal, conversation: str, *, after: int = 0) -> list[Entry]:
        """The steps beyond `after`, in order; of the whole there is at least one."""
        await self.check(who, conversation)
        with refusing():
            entries = await self.found.log.read(who.customer, conversation, after=after)
        if not entries and not after:
            self._forget(who.customer, conversation)
            raise nothing(conversation)
        return entries

    async def known(self, who: Principal, conversation: str) -> Known:
        """The state as of now, and what became of its last steps."""
        await self.check(who, conversation)
        with refusing():
            return await self._states.refresh(who.customer, conversation)

    async def started(self, who: Principal, *, after: int, most: int) -> list[Entry]:
        """The customer's conversations by their first steps beyond `after`, in order."""
        with refusing():
            return await self._listing.page(
                who.customer, "conversation.started", after=after, most=most
            )

    async def happenings(
        self, who: Principal, conversation: str, *, after: int = 0, shown: Shown | None = None
    ) -> AsyncGenerator[Happening, None]:
        """Steps and words as they come, for ever: each word once, resumable (listening.py)."""
        await self.check(who, conversation)
        with refusing():
            listened = listening(
                self.found.client,
                self.found.log,
                who.customer,
                conversation,
                after=after,
                shown=shown,
            )
            async with aclosing(listened) as happenings:
                async for each in happenings:
                    yield each

    async def cancel(self, who: Principal, conversation: str, *, reason: str) -> Entry:
        """End the running turn; FrontRefused (409) when none runs."""
        await self.check(who, conversation)
        _, inbox = await self._desk()
        by = f"contact:{who.contact}" if who.contact else f"key:{who.key}"
        with refusing():
            return await inbox.cancel(who.customer, conversation, by=by, reason=reason)

    async def append(self, who: Principal, conversation: str, event: Event, *, key: str) -> Entry:
        """Record what is no message, wherever the conversation stands; the same `key` is the same
        step, and with another event refused (FrontRefused, 409). What it says is the caller's to
        check.
        """
        by = f"contact:{who.contact}" if who.contact else f"key:{who.key}"
        draft = first(who.customer, conversation, event, by=by, key=key)
        for entry in await self.read(who, conversation):
            if entry.id == draft.id:
                return _same_step(entry, event)
        with refusing():
            return _same_step(await _append(self.found.log, draft), event)

    # -- views ------------------------------------------------------------------------------------

    async def ask_views(self, sql: str, parameters: Mapping[str, object] = {}) -> list[Row]:
        """Rows of the views. `$name` in the SQL stands for the parameter of that name. Whoever
        writes the SQL keeps customers apart: the views hold all of them. It is ours, so that what
        the views say against it is no caller's business.
        """
        with refusing():
            try:
                return await ask_views(self.found, sql, parameters)
            except AskRefused as error:
                log.error("the views refused a question of the gateway: %s", error)
                why = "the process that keeps the views could not answer: try again later"
                raise FrontRefused(503, "Views unavailable", why) from error

    # -- whose it is ------------------------------------------------------------------------------

    async def _started(self, customer: str, conversation: str) -> ConversationStarted | None:
        """How a conversation began, which never changes; None when there is none, or not any more:
        a log may be purged.
        """
        key = customer, conversation
        known = self._starts.get(key)
        if known is not None and not (await self.found.log.tail(*key)).position:
            self._forget(*key)
            return None
        if known is None:
            entries = await self.found.log.read(*key)
            if not entries:
                return None
            event = entries[0].event
            known = event if isinstance(event, ConversationStarted) else ConversationStarted("", "")
            self._starts[key] = known
            if len(self._starts) > STARTS_MAX:
                self._starts.popitem(last=False)
        return known

    def _forget(self, customer: str, conversation: str) -> None:
        """What is remembered of a conversation that is gone. States know of no end, so all of them
        are read anew: that is dear, and rare.
        """
        self._starts.pop((customer, conversation), None)
        self._states = States(self.found.log, text=False)


async def _append(log: JetStreamLog, draft: Draft) -> Entry:
    for _ in range(RACES_MAX):
        tail = await log.tail(draft.customer, draft.conversation)
        try:
            (entry,) = await log.append([draft], after=tail.position)
        except LogConflict:
            continue
        return entry
    why = f"conversation {draft.conversation!r} is too busy: try again"
    raise FrontRefused(503, "Too busy", why)


def _same(message: Message, entry: Entry) -> Entry:
    """The entry, if it is this message: an id is for one message only."""
    wanted = MessageReceived(
        message.text, message.contact, message.id, message.files, message.language
    )
    if entry.event != wanted:
        raise used_again(f"message {message.id!r} of conversation {message.conversation!r}")
    return entry


def _same_step(entry: Entry, event: Event) -> Entry:
    """The entry, if it says this."""
    if entry.event != event:
        raise used_again(f"step {entry.position} of conversation {entry.conversation!r}")
    return entry
