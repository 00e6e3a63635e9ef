"""One message on Slack, brought to what it is to show.

It is streamed while Slack lets us. A stream cannot take words back, is closed by Slack after some
minutes, and is not to be had everywhere: then the same message goes on by `chat.update`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from stepfold.channels.slack.api import SlackApi, SlackAway, SlackLimited, SlackRefused
from stepfold.channels.slack.blocks import Block, Chunk
from stepfold.channels.slack.names import Thread
from stepfold.channels.slack.naming import Name, post
from stepfold.channels.slack.screen import Screen, changes, digest, is_empty, short, whole

UNEDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
TOO_MUCH = frozenset({"invalid_blocks", "msg_blocks_too_long", "msg_too_long"})

Begun = Callable[[str], Awaitable[None]]
"""Is told the `ts` of a message as soon as Slack has named it."""


class Where(Struct, frozen=True):
    """Where a message is posted; `contact` is who reads a stream."""

    api: SlackApi
    thread: Thread
    contact: str


class Post:
    """`ts` is Slack's name of the message, empty before there is one. One that is given was left by
    another process, perhaps in the middle of a stream; `told` is the digest of what it shows, where
    the message says so itself.
    """

    def __init__(self, where: Where, begun: Begun, *, ts: str = "", told: str = "") -> None:
        self._api = where.api
        self._thread = where.thread
        self._contact = where.contact
        self._begun = begun
        self.ts = ts
        self._how: Literal["new", "stream", "plain"] = "stream" if ts else "new"
        self._told = told
        self._shown: Screen | None = None

    @property
    def is_stream(self) -> bool:
        return self._how == "stream"

    async def bring(self, screen: Screen) -> None:
        """Make the message show `screen`. SlackError: it does not, and can be brought to it again
        with the same `ts`.
        """
        if screen == self._shown or (is_empty(screen) and self._how == "new"):
            return
        if screen.over and self._shown is None and self._told == digest(screen):
            self._how = "plain"
        elif self._how == "new":
            await self._begin(screen)
        elif self._how == "stream":
            await self._go_on(screen)
        else:
            await self._update(screen)
        self._shown = screen

    async def close(self) -> None:
        """Leave no stream open that nobody will go on with."""
        if self._how == "stream" and not (self._shown and self._shown.over):
            await self._stop()

    async def remove(self) -> None:
        """Take it away: what it said is not to be said any more."""
        if self._how == "stream":
            await self._stop()
        if self.ts:
            with suppress(SlackRefused):
                await self._api.call("chat_delete", channel=self._thread.channel, ts=self.ts)

    # -- streaming ------------------------------------------------------------------------------

    async def _begin(self, screen: Screen) -> None:
        chunks = changes(Screen(screen.key), screen)
        if not chunks or (screen.over and not screen.tasks):
            await self._post(screen)
            return
        thread = self._thread
        recipient = {"recipient_team_id": thread.team, "recipient_user_id": self._contact}
        try:
            answer = await self._api.call_now(
                "chat_startStream",
                channel=thread.channel,
                thread_ts=thread.ts,
                chunks=list(chunks),
                task_display_mode="timeline",
                **({} if thread.direct else recipient),
            )
        except (SlackRefused, SlackLimited):  # Slack begins fewer streams a minute than messages
            await self._post(screen)
            return
        await self._named(str(answer["ts"]), "stream")
        if screen.over:
            self._shown = replace(screen, over=False, below=())
            await self._go_on(screen)

    async def _named(self, ts: str, how: Literal["stream", "plain"]) -> None:
        self.ts, self._how = ts, how
        await self._begun(ts)

    async def _go_on(self, screen: Screen) -> None:
        chunks = changes(self._shown, screen) if self._shown is not None else None
        try:
            if chunks is not None:
                await self._append(screen, chunks)
                return
        except (SlackRefused, SlackAway):
            pass  # whatever of it arrived, the update below says it whole
        await self._stop()
        await self._update(screen)

    async def _append(self, screen: Screen, chunks: Sequence[Chunk]) -> None:
        where = {"channel": self._thread.channel, "ts": self.ts}
        more = {"chunks": list(chunks)} if chunks else {}
        if screen.over:
            below = {"blocks": list(screen.below)} if screen.below else {}
            metadata = self._name(screen).metadata
            await self._api.call("chat_stopStream", **where, **more, **below, metadata=metadata)
            self._how = "plain"
        elif chunks:
            await self._api.call("chat_appendStream", **where, **more)

    async def _stop(self) -> None:
        """From here on it is a message like any other. A stream that is closed already is fine."""
        self._how = "plain"
        with suppress(SlackRefused):
            await self._api.call("chat_stopStream", channel=self._thread.channel, ts=self.ts)

    # -- without a stream -----------------------------------------------------------------------

    def _name(self, screen: Screen) -> Name:
        shown = digest(screen) if screen.over else ""
        return Name(self._thread.conversation, screen.key, shown)

    async def _post(self, screen: Screen) -> None:
        name, thread = self._name(screen), self._thread

        async def send(text: str, blocks: list[Block]) -> None:
            ts = await post(self._api, thread.channel, text, blocks, name=name, thread_ts=thread.ts)
            await self._named(ts, "plain")

        await self._sent(screen, send)

    async def _update(self, screen: Screen) -> None:
        where: dict[str, Any] = {"channel": self._thread.channel, "ts": self.ts}
        metadata = self._name(screen).metadata

        async def send(text: str, blocks: list[Block]) -> None:
            shown = {"text": text, "blocks": blocks, "metadata": metadata}
            await self._api.call("chat_update", **where, **shown)

        try:
            await self._sent(screen, send)
        except SlackRefused as refused:
            if refused.error not in UNEDITABLE:
                raise
            await self._post(screen)

    async def _sent(
        self, screen: Screen, send: Callable[[str, list[Block]], Awaitable[None]]
    ) -> None:
        """Shown whole; where Slack takes less than we think, its beginning."""
        text, blocks = whole(screen)
        try:
            await send(text, blocks)
        except SlackRefused as refused:
            if refused.error not in TOO_MUCH:
                raise
            await send(text, short(screen))
