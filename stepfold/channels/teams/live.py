"""A turn of a chat with one person, streamed while it runs. Nothing depends on it: the answer comes
from the log (deliver.py), into the stream that is open here, or without one.

Whoever streams holds the post, and says so every few seconds; the answer waits until it is let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.connector import Connector, ConnectorError, StreamOver, Throttled
from stepfold.channels.teams.held import Held
from stepfold.channels.teams.parse import PREFIX
from stepfold.channels.teams.places import Places, Post, Where
from stepfold.channels.teams.say import (
    PACE_S,
    STREAM_S,
    Stream,
    Turn,
    Update,
    broken,
    ending,
    hear,
    next_update,
    plain,
    sent,
    typing,
    updating,
    wait_s,
)
from stepfold.events.envelope import Entry
from stepfold.events.event import ReasonRequested
from stepfold.streams.ending import end, go_on
from stepfold.streams.listening import Happening
from stepfold.streams.memory import utc_now

LIVE = "teams-live"
"""The durable name of this lane."""
HELD_S = 15.0
"""Who has said nothing of a post for so long has died."""
SIGN_S = HELD_S / 3
SOON_S = 0.2
"""How soon a post is looked at again that somebody still holds."""

Listen = Callable[[str, str, int], AsyncGenerator[Happening, None]]
"""What happens in a conversation (customer, name) beyond a position: streams/listening.py."""
Stop = Callable[[str, str], Awaitable[None]]
"""Ends the running turn of a conversation (customer, name), if one runs."""
log = logging.getLogger("stepfold.teams")


class Pace(Struct, frozen=True):
    """An update each `update_s` seconds, in streams that live for `stream_s`."""

    update_s: float = PACE_S
    stream_s: float = STREAM_S


PACE = Pace()


class Live:
    """A lane of its own: `take` runs as long as there is something to show."""

    kinds = ("reason.requested",)

    def __init__(
        self,
        config: TeamsConfig,
        places: Places,
        connector: Connector,
        *,
        listen: Listen,
        stop: Stop,
        pace: Pace = PACE,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._texts = config.texts
        self._places = places
        self._connector = connector
        self._listen = listen
        self._stop = stop
        self._pace = pace
        self._clock = clock

    async def take(self, entry: Entry, *, deliveries: int) -> float | None:
        """Show the turn in which a model is asked, unless somebody shows it. Teams takes one stream
        at a time in a chat: the next one begins when the one before has ended.
        """
        event = entry.event
        if not isinstance(event, ReasonRequested) or event.shadow:
            return None
        if not entry.conversation.startswith(PREFIX):
            return None
        place = await self._places.get(*entry.key)
        name = post_name(event.turn)
        if place is None or name in place.posts:
            return None
        if not place.where.personal:
            await self._type(place.where)
            return None
        now = self._clock()
        if _is_streaming(place.posts, now):
            return SOON_S if (now - entry.at).total_seconds() < self._pace.stream_s else None
        claim = Post(uuid.uuid4().hex, now, held=True)
        claimed = await self._places.claim(entry.key, name, claim, HELD_S)
        if claimed.by == claim.by:
            await self._show(entry, event.turn, place.where, claim)
        return None

    async def _type(self, where: Where) -> None:
        try:
            await self._connector.post(where, typing(), tries=1)
        except ConnectorError as error:
            log.info("no typing is shown: %s", error)

    async def _show(self, entry: Entry, turn: int, where: Where, claim: Post) -> None:
        post = Held(self._places, entry.key, post_name(turn), claim, self._clock)
        show = _Show(
            self._connector, where, post, self._pace.update_s, Turn(turn, (), self._texts.thinking)
        )
        hearing = asyncio.create_task(self._hear(entry, show))
        try:
            await self._stream(entry, show)
        except ConnectorError as error:
            log.info("%s/%s: the stream ends: %s", *entry.key, error)
        finally:
            await end(hearing)
            await post.let_go(show.stream)

    async def _hear(self, entry: Entry, show: _Show) -> None:
        try:
            listened = self._listen(*entry.key, entry.position - 1)
            async with aclosing(listened) as happenings:
                async for happening in happenings:
                    show.tell(hear(show.turn, happening, self._texts))
        finally:
            show.tell(replace(show.turn, end=show.turn.end or "over"))

    async def _stream(self, entry: Entry, show: _Show) -> None:
        try:
            await show.run(self._pace.stream_s)
            if show.turn.end == "waiting":
                await show.close(show.stream.text or self._texts.waiting)
                await show.post.forget()
            elif not show.turn.end:  # its words were taken back, or it is too old
                await show.close(show.stream.text or self._texts.thinking)
        except StreamOver as error:
            if error.why == "stopped":
                await show.post.finish()
                await self._stop(*entry.key)
            elif not show.stream.id:
                await show.post.forget()
            else:
                log.info("%s/%s: %s", *entry.key, error)


def post_name(turn: int | str) -> str:
    return f"turn.{turn}"


def _is_streaming(posts: Mapping[str, Post], now: datetime) -> bool:
    """Whether a turn is streamed, or its stream waits for its end. Who died holds nobody up."""
    turns = (post for name, post in posts.items() if name.startswith(post_name("")))
    open_ = (post for post in turns if post.held or (post.open and not post.done))
    return any((now - post.at).total_seconds() <= HELD_S for post in open_)


class _Show:
    """One stream, and what it is to show."""

    def __init__(
        self, connector: Connector, where: Where, post: Held, pace_s: float, turn: Turn
    ) -> None:
        self.post = post
        self.turn = turn
        self.stream = Stream(began_at=time.monotonic())
        self._connector = connector
        self._where = where
        self._pace_s = pace_s
        self._news = asyncio.Event()
        self._signed_at = time.monotonic()

    @property
    def is_broken(self) -> bool:
        return broken(self.stream, self.turn)

    def tell(self, turn: Turn) -> None:
        if turn != self.turn:
            self.turn = turn
            self._news.set()

    async def run(self, stream_s: float) -> None:
        """Until the turn is over or waits, its words were taken back, or the stream is too old."""
        while not (self.turn.end or self.is_broken):
            go_on()  # keeping the post may have swallowed a cancellation
            now = time.monotonic()
            if now - self.stream.began_at > stream_s:
                return
            if now - self._signed_at > SIGN_S:
                await self._sign()
            update = next_update(self.stream, self.turn)
            rest_s = min(SIGN_S, self.stream.began_at + stream_s - now)
            pause_s = wait_s(self.stream, now, self._pace_s) if update else rest_s
            if update is None or pause_s > 0:
                await self._rest(pause_s, until_news=update is None)
            else:
                await self._send(update)

    async def close(self, text: str) -> None:
        """End the stream with these words; nothing when it never began."""
        if not self.stream.id:
            return
        await asyncio.sleep(wait_s(self.stream, time.monotonic(), self._pace_s))
        await self._connector.post(self._where, ending(plain(text), self.stream.id))
        await self.post.keep(self.stream, open=False)

    async def _rest(self, pause_s: float, *, until_news: bool) -> None:
        """The outcome wakes at once; what is only to be shown waits for its time."""
        end = time.monotonic() + pause_s
        while (left := end - time.monotonic()) > 0:
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                return
            if until_news or self.turn.end:
                return

    async def _send(self, update: Update) -> None:
        try:
            activity = updating(self.stream, update)
            id = await self._connector.post(self._where, activity, tries=1)
        except Throttled as error:
            later = time.monotonic() + error.wait_s - self._pace_s
            self.stream = replace(self.stream, sent_at=later)
            return
        self.stream = sent(self.stream, update, id=id, now=time.monotonic())
        await self._sign()

    async def _sign(self) -> None:
        self._signed_at = time.monotonic()
        await self.post.keep(self.stream)
