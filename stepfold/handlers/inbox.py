"""How the outside gets into the log: a message starts its conversation, or joins it.

InboxRefused    the conversation takes no messages, or has nothing to cancel
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from stepfold.events.envelope import Draft, Entry, first
from stepfold.events.event import ConversationStarted, MessageReceived, TurnCancelled
from stepfold.events.values import FileRef
from stepfold.handlers.states import Known, States
from stepfold.streams.log import Log, LogConflict

RACES_MAX = 100
OPEN_MAX = 100_000
"""How many conversations are remembered to take messages."""
STOPPED = "conversation.stopped"


class InboxRefused(Exception):
    """The conversation takes no messages, or has nothing to cancel."""


class Message(Struct, frozen=True):
    """`id` is the channel's own name of the message: the same id is the same message. `files` are
    kept before they are named here; `language` is a tag such as `de` or `pt-BR`.
    """

    customer: str
    conversation: str
    text: str
    id: str
    contact: str = ""
    channel: str = ""
    trace: str = ""
    files: tuple[FileRef, ...] = ()
    language: str = ""


class Inbox:
    """`agent` and `digest` are those that a new conversation is pinned to."""

    def __init__(self, log: Log, *, agent: str, digest: str) -> None:
        self._log = log
        self._states = States(log, text=False)
        self._agent = agent
        self._digest = digest
        self._open: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def receive(self, message: Message, *, after: int | None = None) -> Entry:
        """The recorded message. The same one again records nothing new within two minutes (the
        server's memory of ids); later it may be recorded again, and is heard only once. With
        `after` it is recorded right behind that position, or LogConflict.
        """
        key = message.customer, message.conversation
        for _ in range(RACES_MAX):
            last, kind = await self._log.tail(*key)
            if after is not None and last != after:
                raise LogConflict(f"conversation {'/'.join(key)} is at {last}, not at {after}")
            if (last and key not in self._open) or kind == STOPPED:
                _refuse_unless_open(message, await self._states.refresh(*key))
            try:
                entries = await self._log.append(self._drafts(message, new=not last), after=last)
            except LogConflict:
                if after is not None:
                    raise
                continue
            self._remember(key)
            return entries[-1]
        raise InboxRefused(f"conversation {key[0]}/{key[1]} is too busy: send the message again")

    def _drafts(self, message: Message, *, new: bool) -> list[Draft]:
        received = MessageReceived(
            message.text, message.contact, message.id, message.files, message.language
        )
        drafts = [_draft(message, received, key=message.id)]
        if new:
            started = ConversationStarted(
                self._agent, self._digest, message.contact, message.channel
            )
            drafts.insert(0, _draft(message, started, key="start"))
        return drafts

    def _remember(self, key: tuple[str, str]) -> None:
        self._open[key] = None
        self._open.move_to_end(key)
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)

    async def cancel(self, customer: str, conversation: str, *, by: str, reason: str) -> Entry:
        """End the running turn; InboxRefused when none runs."""
        for _ in range(RACES_MAX):
            known = await self._states.refresh(customer, conversation)
            turn = known.state.turn
            if turn is None or known.cause is None:
                raise InboxRefused(f"conversation {customer}/{conversation}: no turn is running")
            event = TurnCancelled(turn.number, reason)
            draft = first(customer, conversation, event, by=by, key=str(turn.number))
            try:
                (entry,) = await self._log.append([draft], after=known.position)
            except LogConflict:
                continue
            return entry
        raise InboxRefused(f"conversation {customer}/{conversation} is too busy: cancel it again")


def _draft(message: Message, event: ConversationStarted | MessageReceived, *, key: str) -> Draft:
    by = f"contact:{message.contact}" if message.contact else message.channel or "inbox"
    draft = first(message.customer, message.conversation, event, by=by, key=key)
    return Draft(
        id=draft.id,
        customer=draft.customer,
        conversation=draft.conversation,
        event=event,
        by=by,
        trace=message.trace,
    )


def _refuse_unless_open(message: Message, known: Known) -> None:
    where = f"conversation {message.customer}/{message.conversation}"
    if known.state.origin:
        raise InboxRefused(
            f"{where} was imported ({known.state.origin}) and is closed: use another conversation"
        )
    if known.state.stopped:
        raise InboxRefused(f"{where} is stopped: {known.state.stopped}; use another conversation")
