"""Who tells which part of a conversation on Slack, and how it is told once.

A step after which an agent goes on (a message, an approval) is the beginning of a part, if the
agent was at rest before it; the part ends when it is at rest again, or waits for people. All of
that follows from the log, so whoever is handed the step knows whether the part is theirs. The lane
gives it to one process at a time, and to another one when that dies: that one first looks what is
on Slack already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from weakref import WeakValueDictionary

from stepfold.channels.slack.api import SlackApi, SlackError, SlackRefused
from stepfold.channels.slack.config import SlackConfig, Team
from stepfold.channels.slack.finding import Found, find
from stepfold.channels.slack.keeping import Kept
from stepfold.channels.slack.names import CHANNEL, Thread, thread_of
from stepfold.channels.slack.part import Before, Part
from stepfold.channels.slack.resting import is_busy, waits_for_people, went_on
from stepfold.channels.slack.say import Telling, begin, left, tell, waits
from stepfold.events.envelope import Entry
from stepfold.events.event import ConversationStarted, MessageReceived, ResponseDelivered
from stepfold.handlers.states import Known, advance
from stepfold.streams.config import ACK_WAIT_S, CHANNELS, STEPS
from stepfold.streams.ending import end, go_on
from stepfold.streams.jetstream import Connection, JetStreamLog, prepare_consumer
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.streams.lanes import Lanes
from stepfold.streams.listening import Happening, listening
from stepfold.streams.log import LogUnavailable
from stepfold.streams.memory import utc_now

KINDS = (
    "message.received",
    "approval.granted",
    "approval.denied",
    "approval.expired",
    "turn.expired",
    "turn.cancelled",
)
"""The steps after which an agent may go on."""
LANE = "slack"
PACE_S = 0.7
"""Between two updates of a stream: Slack takes about a hundred a minute."""
PLAIN = 2
"""Messages that are not streamed are updated so many times more slowly: about fifty a minute."""
AWAY_S, AWAY_S_MAX, REFUSED_S = 5.0, 300.0, 60.0
GIVEN_UP_S = 3 * 24 * 3600.0
"""What could not be told for so long is told to nobody any more: it becomes a dead letter."""
MENDABLE = frozenset(
    {"account_inactive", "invalid_auth", "missing_scope", "not_authed", "not_in_channel"}
    | {"token_expired", "token_revoked"}
)
"""Refusals that somebody may put right meanwhile."""

log = logging.getLogger("stepfold.slack")


@asynccontextmanager
async def delivering(
    config: SlackConfig,
    client: Connection,
    *,
    pace_s: float = PACE_S,
    away_s: float = AWAY_S,
    ack_wait_s: float = ACK_WAIT_S,
) -> AsyncIterator[None]:
    """Tell Slack what happens in its conversations until the block ends; any number of processes
    may. What is not told to its end then, another process takes over, and after `ack_wait_s` what
    one was telling when it died. What Slack did not answer is
    tried again after `away_s`, then more and more slowly.
    """
    apis = {t.id: SlackApi(t.bot_token, base_url=config.api) for t in config.teams.values()}
    deliverer = Deliverer(config, client, apis, pace_s=pace_s, away_s=away_s)
    filters = [f"steps.{customer}.*.{kind}" for customer in config.customers for kind in KINDS]
    await prepare_consumer(client, STEPS, LANE, filters, ack_wait_s=ack_wait_s)
    lanes = Lanes(client, pulse_s=ack_wait_s / 3)
    lanes.mount(LANE, deliverer.take)
    await lanes.start()
    try:
        yield
    finally:
        await asyncio.gather(lanes.stop(), deliverer.leave())
        for api in apis.values():
            api.close()


class Deliverer:
    """What one process tells. `take` is handed the steps of the lane."""

    def __init__(
        self,
        config: SlackConfig,
        client: Connection,
        apis: Mapping[str, SlackApi],
        *,
        pace_s: float,
        away_s: float,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._config = config
        self._client = client
        self._log = JetStreamLog(client)
        self._apis = apis
        self._pace_s = pace_s
        self._away_s = away_s
        self._clock = clock
        self._store = JetStreamSealed(client, CHANNELS)
        self._parts: set[asyncio.Task[None]] = set()
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._leaving = asyncio.Event()

    async def take(self, entry: Entry, *, deliveries: int) -> float | None:
        """None: it was told, or is nobody's. Else it is to be handed out again, in so many s."""
        thread = thread_of(entry.conversation)
        team = self._config.teams.get(thread.team) if thread else None
        if thread is None or team is None or team.customer != entry.customer:
            return None
        if self._leaving.is_set():
            return 0.0
        task = asyncio.create_task(self._tell(entry, thread, team, again=deliveries > 1))
        self._parts.add(task)
        try:
            await task
        except asyncio.CancelledError:
            if not self._leaving.is_set():
                raise
            return 0.0
        except (SlackError, LogUnavailable) as error:
            return await self._again(entry, error, deliveries)
        finally:
            self._parts.discard(task)
        return None

    async def leave(self) -> None:
        """Let go of what runs: others take it over."""
        self._leaving.set()
        await end(*self._parts)

    async def _again(self, entry: Entry, error: Exception, deliveries: int) -> float | None:
        where = f"conversation {'/'.join(entry.key)}, step {entry.position}"
        mendable = not isinstance(error, SlackRefused) or error.error in MENDABLE
        wait_s = REFUSED_S if isinstance(error, SlackRefused) else self._away_s
        if mendable and (self._clock() - entry.at).total_seconds() < GIVEN_UP_S:
            log.warning("%s is not told yet: %s", where, error)
            return min(wait_s * deliveries, AWAY_S_MAX)
        log.error("%s is not told, given up: %s", where, error)
        try:
            await self._log.bury(entry, f"{LANE}: {error}")
        except LogUnavailable as away:
            log.warning("%s is no dead letter yet: %s", where, away)
            return self._away_s
        return None

    async def _tell(self, entry: Entry, thread: Thread, team: Team, *, again: bool) -> None:
        turn = self._turns.setdefault(entry.key, asyncio.Lock())
        async with turn:  # so that the answers of one process stand in the order of their turns
            await self._tell_part(entry, thread, team, again=again)

    async def _tell_part(self, entry: Entry, thread: Thread, team: Team, *, again: bool) -> None:
        entries = await self._log.read(*entry.key)
        before = [each for each in entries if each.position < entry.position]
        if not _is_ours(entries) or is_busy(advance(Known(), before)):
            return
        api, kept = self._apis[team.id], Kept(self._store, *entry.key)
        found, goes_on = Found(), False
        if again:
            found = await _found(entry, api, thread)
            entries = await self._log.read(*entry.key)  # as it was when Slack was asked, or later
            goes_on = went_on(entries, entry.position, KINDS)
        if goes_on:
            found = Found(found.named)
        delivered = frozenset(
            e.event.turn for e in entries if isinstance(e.event, ResponseDelivered)
        )
        known_before = Before(found, delivered, again)
        part = Part(self._log, api, team, thread, kept, known_before)
        known, telling = advance(Known(), before), _told_before(before, entry.position)
        try:
            telling, waiting = await self._follow(entry, part, known, telling)
            shown = left(telling) if goes_on else waits(telling)
            if waiting and shown is not None:
                await part.show(shown)
            part.complete()
        finally:
            with suppress(SlackError):
                await part.close()

    async def _follow(
        self, entry: Entry, part: Part, known: Known, telling: Telling
    ) -> tuple[Telling, bool]:
        """Show the part as it happens, until the agent is at rest or waits for people; whether that
        is to be said.
        """
        after = entry.position - 1
        listened = listening(self._client, self._log, *entry.key, after=after)
        async with _batches(listened) as next_batch:
            part.think()
            while True:
                go_on()  # what keeps and records may have swallowed a cancellation
                for happening in await next_batch():
                    telling, outs = tell(telling, happening)
                    await part.take(happening, telling.contact, outs)
                    if not isinstance(happening, Entry):
                        continue
                    known = advance(known, (happening,))
                    if not is_busy(known):
                        return telling, _is_said(entry, known, telling)
                await part.flush()
                slow = 1 if part.is_stream else PLAIN
                await asyncio.sleep(self._pace_s * slow if part.open else 0)


async def _found(entry: Entry, api: SlackApi, thread: Thread) -> Found:
    since_s = entry.at.timestamp()
    return await find(api, thread.channel, entry.conversation, since_s=since_s, thread_ts=thread.ts)


def _is_ours(entries: Sequence[Entry]) -> bool:
    """Whether it began on Slack, and not under a name that only looks so."""
    event = entries[0].event if entries else None
    return isinstance(event, ConversationStarted) and event.channel == CHANNEL


def _told_before(entries: Sequence[Entry], part: int) -> Telling:
    """What is known of a conversation before a part of it begins."""
    telling = begin(part)
    for entry in entries:
        telling, _ = tell(telling, entry)
    return begin(part, telling)


def _is_said(entry: Entry, known: Known, telling: Telling) -> bool:
    """That people are waited for is said under what was said, or to whoever just wrote."""
    shown = telling.saying or telling.tasks or isinstance(entry.event, MessageReceived)
    return waits_for_people(known) and bool(shown)


@asynccontextmanager
async def _batches(
    happenings: AsyncGenerator[Happening, None],
) -> AsyncIterator[Callable[[], Awaitable[list[Happening]]]]:
    """What has come since the last look, at least one: who is slow gets more at a time."""
    came: asyncio.Queue[Happening | Exception] = asyncio.Queue()

    async def listen() -> None:
        try:
            async with aclosing(happenings):
                async for happening in happenings:
                    came.put_nowait(happening)
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            came.put_nowait(error)

    async def next_batch() -> list[Happening]:
        batch = [await came.get()]
        while not came.empty():
            batch.append(came.get_nowait())
        for each in batch:
            if isinstance(each, Exception):
                raise each
        return [each for each in batch if not isinstance(each, Exception)]

    listening_task = asyncio.create_task(listen())
    try:
        yield next_batch
    finally:
        await end(listening_task)
