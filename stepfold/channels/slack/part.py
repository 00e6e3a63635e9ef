"""A part of a conversation while it is told: its messages in the thread, what people are asked in
the channel for approvals (elsewhere.py), and the receipt in the log.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from msgspec import Struct

from stepfold.channels.slack.api import SlackApi, SlackError, SlackRefused
from stepfold.channels.slack.config import Team
from stepfold.channels.slack.elsewhere import Elsewhere
from stepfold.channels.slack.finding import Found
from stepfold.channels.slack.keeping import Kept
from stepfold.channels.slack.names import CHANNEL, Thread
from stepfold.channels.slack.post import Where
from stepfold.channels.slack.posts import Posts
from stepfold.channels.slack.say import Out
from stepfold.channels.slack.screen import Screen
from stepfold.events.envelope import Draft, Entry, follow
from stepfold.events.event import ResponseDelivered
from stepfold.streams.ending import end
from stepfold.streams.listening import Happening
from stepfold.streams.log import Log, LogConflict, LogUnavailable

RACES_MAX = 100
THINKS = "is thinking…"
THINKS_S = 1.0
"""The first message waits so long for it: Slack takes it away when it comes before that."""


class Before(Struct, frozen=True):
    """What there was when a process began to tell a part: `found` on Slack, `delivered` the turns
    whose receipt is in the log. `again`: the part was begun before.
    """

    found: Found = Found()
    delivered: frozenset[int] = frozenset()
    again: bool = False


class Part:
    def __init__(
        self,
        log: Log,
        api: SlackApi,
        team: Team,
        thread: Thread,
        kept: Kept,
        before: Before,
    ) -> None:
        self._log = log
        self._api = api
        self._thread = thread
        self._kept = kept
        self._found = before.found
        self._delivered = before.delivered
        self._again = before.again
        self._contact = ""
        self._elsewhere = Elsewhere(log, api, team, thread, kept, again=before.again)
        self._untold: SlackRefused | None = None
        self._posts: Posts | None = None
        self._wanted: Screen | None = None
        self._thinking: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether a message is being written."""
        return self._posts is not None

    @property
    def is_stream(self) -> bool:
        return self._posts is not None and self._posts.is_stream

    def think(self) -> None:
        """Say so, where Slack shows such things, for as long as nothing is said."""
        if not self._again:
            self._thinking = asyncio.create_task(self._think())

    async def _think(self) -> None:
        with suppress(SlackError):
            await self._api.call_now(
                "assistant_threads_setStatus",
                channel_id=self._thread.channel,
                thread_ts=self._thread.ts,
                status=THINKS,
            )

    async def take(self, happening: Happening, contact: str, outs: tuple[Out, ...]) -> None:
        """What is to be seen of a happening. Words wait for `flush`; what is over does not."""
        self._contact = contact
        for out in outs:
            match out:
                case Screen():
                    await self.show(out)
                    if out.over and out.answers and isinstance(happening, Entry):
                        await self._receipt(happening, out)
                case _:
                    try:
                        await self._elsewhere.tell(happening, out)
                    except SlackRefused as refused:
                        self._untold = refused

    async def show(self, screen: Screen) -> None:
        """Show it when it is time to; at once what is over."""
        if self._wanted is not None and self._wanted.key != screen.key:
            await self._close_posts()
            self._posts = None
        self._wanted = screen
        if screen.over:
            await self.flush()

    async def flush(self) -> None:
        """Bring the message to what it is to show by now."""
        screen = self._wanted
        if screen is None or await self._is_told(screen):
            return
        if self._thinking is not None:
            await asyncio.wait({self._thinking}, timeout=THINKS_S)
        if self._posts is None:
            where = Where(self._api, self._thread, self._contact)
            self._posts = Posts(where, self._kept, self._found, screen.key)
        await self._posts.bring(screen)

    async def _is_told(self, screen: Screen) -> bool:
        return screen.turn in self._delivered or (await self._kept.get(screen.key)).over

    def complete(self) -> None:
        """SlackRefused: something could not be said in another channel. The thread has the rest."""
        if self._untold is not None:
            raise self._untold

    async def close(self) -> None:
        if self._thinking is not None:
            await end(self._thinking)
        await self._close_posts()

    async def _close_posts(self) -> None:
        if self._posts is not None:
            await self._posts.close()

    # -- the receipt ----------------------------------------------------------------------------

    async def _receipt(self, answer: Entry, screen: Screen) -> None:
        """Record that the answer was delivered, and as what: once."""
        turn = screen.turn
        self._posts = self._wanted = None
        if turn in self._delivered:
            return
        (first, *_) = (await self._kept.get(screen.key)).pages or ("",)
        (draft,) = follow(answer, CHANNEL, [ResponseDelivered(turn, CHANNEL, first)])
        self._delivered |= await self._append(draft, turn)

    async def _append(self, draft: Draft, turn: int) -> frozenset[int]:
        key = draft.customer, draft.conversation
        for _ in range(RACES_MAX):
            entries = await self._log.read(*key)
            if any(e.event.turn == turn for e in entries if isinstance(e.event, ResponseDelivered)):
                return frozenset({turn})
            try:
                await self._log.append([draft], after=entries[-1].position)
            except LogConflict:
                continue
            return frozenset({turn})
        raise LogUnavailable(f"conversation {'/'.join(key)} is too busy for a receipt")
