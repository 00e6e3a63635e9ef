"""One message on Slack, brought to what it is to show.

It is streamed while Slack lets us. A stream cannot take words back, is closed by Slack after some
minutes, and is not to be had everywhere: then the same message goes on by `chat.update`. What is
over carries metadata that names it, so that another process finds out that it is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from stepfold.channels.slack.api import SlackApi, SlackAway, SlackRefused
from stepfold.channels.slack.blocks import Block, Chunk
from stepfold.channels.slack.names import CHANNEL, Thread
from stepfold.channels.slack.screen import Screen, changes, is_empty, whole
from stepfold.events.envelope import NAMESPACE

EVENT_TYPE = "stepfold_message"
PAGES_MAX, PAGE = 5, 200
SLACK_S = 60.0
"""By how much Slack's clock may differ from the log's."""
REPEATED = frozenset({"duplicate_message_not_found", "duplicate_channel_not_found"})
"""What Slack says when it knows a message's id, and the message is gone."""
UNEDITABLE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})


class Found(Struct, frozen=True):
    """Messages of ours on Slack: by key those that are over, and the last one that is not."""

    over: Mapping[str, str] = {}
    open: str = ""


class Post:
    """`ts` is Slack's name of the message, empty before there is one. One that is given was left by
    another process, perhaps in the middle of a stream.
    """

    def __init__(
        self, api: SlackApi, thread: Thread, contact: str, conversation: str, *, ts: str = ""
    ) -> None:
        self._api = api
        self._thread = thread
        self._contact = contact
        self._conversation = conversation
        self.ts = ts
        self._how: Literal["new", "stream", "plain"] = "stream" if ts else "new"
        self._shown: Screen | None = None

    async def bring(self, screen: Screen) -> None:
        """Make the message show `screen`. SlackError: it does not, and can be brought to it again
        with the same `ts`.
        """
        if screen == self._shown or (is_empty(screen) and self._how == "new"):
            return
        if self._how == "new":
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

    # -- streaming ------------------------------------------------------------------------------

    async def _begin(self, screen: Screen) -> None:
        chunks = changes(Screen(screen.key), screen)
        if not chunks or (screen.over and not screen.tasks):
            await self._post(screen)
            return
        thread = self._thread
        recipient = {"recipient_team_id": thread.team, "recipient_user_id": self._contact}
        try:
            answer = await self._api.call(
                "chat_startStream",
                channel=thread.channel,
                thread_ts=thread.ts,
                chunks=list(chunks),
                task_display_mode="timeline",
                **({} if thread.direct else recipient),
            )
        except SlackRefused:
            await self._post(screen)
            return
        self.ts, self._how = str(answer["ts"]), "stream"
        if screen.over:
            self._shown = replace(screen, over=False)
            await self._go_on(screen)

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
            metadata = named(self._conversation, screen.key)
            await self._api.call("chat_stopStream", **where, **more, **below, metadata=metadata)
        elif chunks:
            await self._api.call("chat_appendStream", **where, **more)

    async def _stop(self) -> None:
        """From here on it is a message like any other. A stream that is closed already is fine."""
        self._how = "plain"
        with suppress(SlackRefused):
            await self._api.call("chat_stopStream", channel=self._thread.channel, ts=self.ts)

    # -- without a stream -----------------------------------------------------------------------

    async def _post(self, screen: Screen) -> None:
        answer = await post(
            self._api,
            self._thread.channel,
            *whole(screen),
            name=(self._conversation, screen.key),
            thread_ts=self._thread.ts,
            over=screen.over,
        )
        self.ts, self._how = answer, "plain"

    async def _update(self, screen: Screen) -> None:
        text, blocks = whole(screen)
        over = {"metadata": named(self._conversation, screen.key)} if screen.over else {}
        try:
            await self._api.call(
                "chat_update",
                channel=self._thread.channel,
                ts=self.ts,
                text=text,
                blocks=blocks,
                **over,
            )
        except SlackRefused as refused:
            if refused.error not in UNEDITABLE:
                raise
            await self._post(screen)


async def post(
    api: SlackApi,
    channel: str,
    text: str,
    blocks: Sequence[Block],
    *,
    name: tuple[str, str],
    thread_ts: str = "",
    over: bool = True,
) -> str:
    """A new message; returns its `ts`. `name` is its conversation and its key there."""
    fields = {
        "channel": channel,
        "text": text,
        "blocks": list(blocks),
        "unfurl_links": False,
        "unfurl_media": False,
        **({"thread_ts": thread_ts} if thread_ts else {}),
        **({"metadata": named(*name)} if over else {}),
    }
    id = str(uuid.uuid5(NAMESPACE, "/".join((CHANNEL, *name))))
    try:
        answer = await api.call("chat_postMessage", client_msg_id=id, **fields)
    except SlackRefused as refused:
        if refused.error not in REPEATED:
            raise
        answer = await api.call("chat_postMessage", **fields)
    return str(answer["ts"])


def named(conversation: str, key: str) -> dict[str, Any]:
    payload = {"conversation": conversation, "key": key}
    return {"event_type": EVENT_TYPE, "event_payload": payload}


async def find(
    api: SlackApi, channel: str, conversation: str, *, since_s: float, thread_ts: str = ""
) -> Found:
    """What of `conversation` is on Slack already, since a time of the log (seconds, Unix)."""
    us = str((await api.call("auth_test")).get("user_id", ""))
    asked: dict[str, Any] = {
        "channel": channel,
        "oldest": f"{since_s - SLACK_S:.6f}",
        "include_all_metadata": True,
        "limit": PAGE,
    }
    over: dict[str, str] = {}
    open_ = ""
    for _ in range(PAGES_MAX):
        if thread_ts:
            answer = await api.call("conversations_replies", ts=thread_ts, **asked)
        else:
            answer = await api.call("conversations_history", **asked)
        for message in answer.get("messages", ()):
            key = _key(message, conversation)
            if key:
                over[key] = str(message["ts"])
            elif message.get("user") == us and not message.get("metadata"):
                open_ = max(open_, str(message["ts"]))
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            break
        asked["cursor"] = cursor
    return Found(over, open_)


def _key(message: Mapping[str, Any], conversation: str) -> str:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    ours = metadata.get("event_type") == EVENT_TYPE and payload.get("conversation") == conversation
    return str(payload.get("key", "")) if ours else ""
