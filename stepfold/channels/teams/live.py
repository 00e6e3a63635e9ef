"""A turn of a chat with one person, streamed while it runs. Nothing depends on it: the answer comes
from the log (deliver.py), into the stream that is open here, or without one.

Whoever streams holds the post, and says so every few seconds; the answer waits until it is let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime

from msgspec.structs import replace

from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.connector import Connector, ConnectorError, StreamOver, Throttled
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
from stepfold.streams.listening import Happening
from stepfold.streams.memory import utc_now

LIVE = "teams-live"
"""The durable name of this lane."""
HELD_S = 15.0
"""Who has said nothing of a post for so long has died."""
SIGN_S = HELD_S / 3

Listen = Callable[[str, str, int], AsyncGenerator[Happening, None]]
"""What happens in a conversation (customer, name) beyond a position: streams/listening.py."""
Stop = Callable[[str, str], Awaitable[None]]
"""Ends the running turn of a conversation (customer, name), if one runs."""
log = logging.getLogger("stepfold.teams")


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
        pace_s: float = PACE_S,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._texts = config.texts
        self._places = places
        self._connector = connector
        self._listen = listen
        self._stop = stop
        self._pace_s = pace_s
        self._clock = clock

    async def take(self, entry: Entry, *, deliveries: int) -> float | None:
        """Show the turn in which a model is asked, unless somebody shows it."""
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
        claim = Post(uuid.uuid4().hex, self._clock(), held=True)
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
        post = _Held(self._places, entry.key, post_name(turn), claim, self._clock)
        show = _Show(
            self._connector, where, post, self._pace_s, Turn(turn, (), self._texts.thinking)
        )
        hearing = asyncio.create_task(self._hear(entry, show))
        try:
            await self._stream(entry, show)
        except ConnectorError as error:
            log.info("%s/%s: the stream ends: %s", *entry.key, error)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
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
            await show.run()
            if show.turn.end == "waiting":
                await show.close(show.stream.text or self._texts.waiting)
                await show.post.forget()
            elif show.is_broken and not show.turn.end:
                await show.close(show.stream.text)
        except StreamOver as error:
            if error.why == "stopped":
                await show.post.finish()
                await self._stop(*entry.key)
            elif not show.stream.id:
                await show.post.forget()
            else:
                log.info("%s/%s: %s", *entry.key, error)


def post_name(turn: int) -> str:
    return f"turn.{turn}"


class _Held:
    """The post that is held here."""

    def __init__(
        self,
        places: Places,
        key: tuple[str, str],
        name: str,
        post: Post,
        clock: Callable[[], datetime],
    ) -> None:
        self._places, self._key, self._name = places, key, name
        self._post: Post | None = post
        self._clock = clock

    async def keep(self, stream: Stream, *, open: bool = True) -> None:
        """Say that it is held still, and how far the stream is."""
        if self._post is None:
            return
        held = replace(
            self._post, at=self._clock(), activity=stream.id, text=stream.text, open=open
        )
        await self._write(held)

    async def let_go(self, stream: Stream) -> None:
        """Whoever has the answer may have the post."""
        if self._post is None:
            return
        if not stream.id:
            await self.forget()
            return
        free = replace(self._post, at=self._clock(), activity=stream.id, text=stream.text)
        await self._write(replace(free, held=False))

    async def finish(self) -> None:
        """Nothing is to be added any more."""
        if self._post is not None:
            await self._write(replace(self._post, held=False, open=False, done=True))
            self._post = None

    async def forget(self) -> None:
        if self._post is not None:
            await self._places.forget(self._key, self._name)
            self._post = None

    async def _write(self, post: Post) -> None:
        """Unless it was taken over: who is held to be dead has no more to say."""

        def mine(there: Post | None) -> Post:
            return post if there is None or there.by == post.by else there

        written = await self._places.change(self._key, self._name, mine)
        self._post = post if written.by == post.by else None


class _Show:
    """One stream, and what it is to show."""

    def __init__(
        self, connector: Connector, where: Where, post: _Held, pace_s: float, turn: Turn
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

    async def run(self) -> None:
        """Until the turn is over or waits, its words were taken back, or the stream is too old."""
        while not (self.turn.end or self.is_broken):
            now = time.monotonic()
            if now - self.stream.began_at > STREAM_S:
                return
            if now - self._signed_at > SIGN_S:
                await self._sign()
            update = next_update(self.stream, self.turn)
            pause_s = wait_s(self.stream, now, self._pace_s) if update else SIGN_S
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
