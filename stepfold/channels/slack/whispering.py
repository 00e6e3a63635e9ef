"""What one person is told alone, after Slack has been answered. What is not told is no loss."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from stepfold.channels.slack.api import SlackApi, SlackError
from stepfold.channels.slack.blocks import escaped
from stepfold.streams.ending import end


class Whispers:
    """`apis` by workspace. `close` it."""

    def __init__(self, apis: Mapping[str, SlackApi]) -> None:
        self._apis = apis
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self, team: str, channel: str, user: str, text: str, *, thread_ts: str = "") -> None:
        where = {"thread_ts": thread_ts} if thread_ts else {}
        told = escaped(text)

        async def whisper() -> None:
            with suppress(SlackError):
                await self._apis[team].call(
                    "chat_postEphemeral", channel=channel, user=user, text=told, **where
                )

        task = asyncio.create_task(whisper())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        await end(*self._telling)
