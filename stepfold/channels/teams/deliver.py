"""Answers, approvals and greetings, from the log into Teams: told at least once, posted once.

A post is claimed, made, kept (places.py), and then told to the log (`response.delivered`). Whoever
is told again finds it at one of these and goes on from there. Only where the claim is old and
nothing was kept does nobody know whether it was made: then it is made again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from microsoft_teams.api.activities.message import MessageActivityInput
from msgspec.structs import replace

from stepfold.channels.teams.cards import asking, outcome_card
from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.connector import (
    Connector,
    ConnectorError,
    NotTaken,
    StreamOver,
    Throttled,
)
from stepfold.channels.teams.live import HELD_S, SOON_S, post_name
from stepfold.channels.teams.parse import PREFIX
from stepfold.channels.teams.places import Places, Post, Where
from stepfold.channels.teams.say import answer, ending, plain
from stepfold.events.envelope import Entry, follow
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ConversationStarted,
    ResponseDelivered,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.streams.log import Log, LogConflict, LogUnavailable
from stepfold.streams.memory import utc_now

DELIVER = "teams"
"""The name of the channel, and of this lane."""
RETRY_S, RETRY_S_MAX = 2.0, 60.0
GIVEN_UP_S = 3 * 24 * 3600.0
"""What could not be told for so long is told to nobody any more: it becomes a dead letter."""
RACES_MAX = 100

Message = MessageActivityInput
log = logging.getLogger("stepfold.teams")


class _Held(Exception):
    """Somebody else is at it now."""


class Deliver:
    """A lane: `take` says in how many seconds it is to be told again, None = it is done."""

    kinds = (
        "conversation.started",
        "response.given",
        "turn.abandoned",
        "turn.cancelled",
        "approval.requested",
        "approval.granted",
        "approval.denied",
        "approval.expired",
    )

    def __init__(
        self,
        config: TeamsConfig,
        places: Places,
        connector: Connector,
        record: Log,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._config = config
        self._places = places
        self._connector = connector
        self._log = record
        self._clock = clock

    async def take(self, entry: Entry, *, deliveries: int) -> float | None:
        if not entry.conversation.startswith(PREFIX):
            return None
        try:
            await self._deliver(entry)
        except _Held:
            return SOON_S
        except Throttled as error:
            return error.wait_s
        except NotTaken as error:
            return await self._give_up(entry, error)
        except (ConnectorError, LogUnavailable) as error:
            if (self._clock() - entry.at).total_seconds() > GIVEN_UP_S:
                return await self._give_up(entry, error)
            log.warning("%s/%s: step %d is told later: %s", *entry.key, entry.position, error)
            return min(RETRY_S * deliveries, RETRY_S_MAX)
        return None

    async def _give_up(self, entry: Entry, error: Exception) -> float | None:
        log.error("%s/%s: step %d is given up: %s", *entry.key, entry.position, error)
        try:
            await self._log.bury(entry, f"{DELIVER}: {error}")
        except LogUnavailable as away:
            log.warning("it is no dead letter yet: %s", away)
            return RETRY_S_MAX
        return None

    async def see(self, entry: Entry) -> None:
        """As an observing hook (handlers/observer.py): what it raises is told again."""
        await self._deliver(entry)

    async def _deliver(self, entry: Entry) -> None:
        place = await self._places.get(*entry.key)
        if place is None:
            return
        where, texts = place.where, self._config.texts
        match entry.event:
            case ConversationStarted(channel=channel, contact=contact):
                if channel == DELIVER and not contact:  # nobody has said anything yet
                    await self._once(entry, where, "greeting", [plain(texts.greeting)])
            case ResponseGiven(turn=turn):
                if await self._told(entry, turn) is None:
                    post = await self._once(entry, where, post_name(turn), answer(entry.event))
                    await self._tell(entry, turn, post.activity)
            case TurnAbandoned(turn=turn):
                await self._once(entry, where, post_name(turn), [plain(texts.abandoned)])
            case TurnCancelled(turn=turn):
                begun = place.posts.get(post_name(turn))
                if begun is not None:
                    said = plain(begun.text or texts.stopped)
                    await self._once(entry, where, post_name(turn), [said])
            case ApprovalRequested():
                await self._ask(entry, where, entry.event)
            case ApprovalGranted() | ApprovalDenied() | ApprovalExpired():
                await self._decided(entry, where, entry.event)
            case _:
                pass

    # -- one post -------------------------------------------------------------------------------

    async def _once(
        self, entry: Entry, where: Where, name: str, messages: Sequence[Message]
    ) -> Post:
        """The post of this name, made if need be. _Held, ConnectorError."""
        claim = Post(uuid.uuid4().hex, self._clock(), held=True)
        post = await self._places.claim(entry.key, name, claim, HELD_S)
        if post.done:
            return post
        if post.by != claim.by:
            post = await self._take_over(entry, name, post, claim)
        try:
            post = await self._first(entry, where, name, post, messages[0])
            for message in messages[1 + len(post.more) :]:
                more = await self._connector.post(where, message)
                post = await self._keep(entry, name, replace(post, more=(*post.more, more)))
        except ConnectorError:
            await self._let_go(entry, name, post)
            raise
        return await self._keep(entry, name, replace(post, held=False, done=True))

    async def _take_over(self, entry: Entry, name: str, post: Post, claim: Post) -> Post:
        """What another one began, and does not hold any more."""
        if post.held and (claim.at - post.at).total_seconds() <= HELD_S:
            raise _Held
        mine = replace(post, by=claim.by, at=claim.at, held=True)
        taken = await self._places.change(
            entry.key, name, lambda there: mine if there == post else there or claim
        )
        if taken.by != claim.by:
            raise _Held
        return taken

    async def _keep(self, entry: Entry, name: str, post: Post) -> Post:
        at = self._clock()
        return await self._places.change(entry.key, name, lambda _: replace(post, at=at))

    async def _let_go(self, entry: Entry, name: str, post: Post) -> None:
        """It was not taken, or nobody knows: whoever is told next goes on from what is kept."""
        place = await self._places.get(*entry.key)
        kept = place.posts.get(name, post) if place else post
        if kept.activity:
            await self._keep(entry, name, replace(kept, held=False))
        else:
            await self._places.forget(entry.key, name)

    async def _first(
        self, entry: Entry, where: Where, name: str, post: Post, message: Message
    ) -> Post:
        if post.more:
            return post
        if not post.activity:
            made = await self._connector.post(where, message)
        elif post.open and await self._end(where, post, message):
            made = post.activity
        else:
            made = await self._replace(where, post.activity, message)
        return await self._keep(entry, name, replace(post, activity=made, open=False))

    async def _end(self, where: Where, post: Post, message: Message) -> bool:
        """End a stream with the answer. False when that must take the place of what was said: the
        stream is not to be ended (it is too old, or gone), or the answer does not begin with what
        was said.
        """
        holds = (message.text or "").startswith(post.text)
        try:
            last = message if holds else plain(post.text)
            await self._connector.post(where, ending(last, post.activity))
        except (StreamOver, NotTaken) as error:
            log.info("a stream cannot be ended, its message is replaced: %s", error)
            return False
        return holds

    async def _replace(self, where: Where, activity: str, message: Message) -> str:
        try:
            await self._connector.put(where, activity, message)
        except NotTaken as error:
            log.info("a message cannot be replaced, another one is posted: %s", error)
            return await self._connector.post(where, message)
        return activity

    # -- the log --------------------------------------------------------------------------------

    async def _told(self, entry: Entry, turn: int) -> Entry | None:
        for each in await self._log.read(*entry.key, after=entry.position):
            match each.event:
                case ResponseDelivered(turn=told, channel=channel):
                    if (told, channel) == (turn, DELIVER):
                        return each
                case _:
                    pass
        return None

    async def _tell(self, entry: Entry, turn: int, receipt: str) -> None:
        delivered = ResponseDelivered(turn, DELIVER, receipt)
        drafts = follow(entry, DELIVER, [delivered])
        for _ in range(RACES_MAX):
            tail = await self._log.tail(*entry.key)
            if await self._told(entry, turn) is not None:
                return
            try:
                await self._log.append(drafts, after=tail.position)
            except LogConflict:
                continue
            return
        raise LogUnavailable(f"{'/'.join(entry.key)} is too busy")

    # -- approvals ------------------------------------------------------------------------------

    async def _ask(self, entry: Entry, where: Where, request: ApprovalRequested) -> None:
        card = asking(request, entry.conversation)
        there = self._asked_in(entry.customer, where)
        await self._once(entry, there, _card_name(request.call), [Message().add_card(card)])

    async def _decided(
        self,
        entry: Entry,
        where: Where,
        event: ApprovalGranted | ApprovalDenied | ApprovalExpired,
    ) -> None:
        """The card without its buttons. Who decided elsewhere is shown here too."""
        place = await self._places.get(*entry.key)
        post = place.posts.get(_card_name(event.call)) if place else None
        if post is None or (post.done and not post.activity):  # nobody knows which one it is
            return
        if not post.activity:
            raise _Held
        card = outcome_card(event.call, await self._log.read(*entry.key))
        if card is None:
            return
        message = Message().add_card(card)
        await self._connector.put(self._asked_in(entry.customer, where), post.activity, message)

    def _asked_in(self, customer: str, where: Where) -> Where:
        asked = self._config.approvals.get(customer)
        return replace(where, conversation=asked, personal=False) if asked else where


def _card_name(call: str) -> str:
    return f"card.{call}"
