"""Direct reads of a stream: all steps of a subject beyond a position, or the last one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from stepfold.streams.jetstream.connection import AWAY, away
from stepfold.streams.log import BATCH, LogUnavailable

DIRECT = "$JS.API.DIRECT.GET."


class Gets:
    """Direct reads of a stream: all steps of a subject beyond a position, or the last one."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._waiting: dict[str, _Answer] = {}
        self._subscribed: asyncio.Future[None] | None = None

    async def all(self, stream: str, where: str, after: int) -> AsyncIterator[Msg]:
        pending = 1
        while pending:
            request = {"batch": BATCH, "seq": after + 1, "next_by_subj": where}
            messages, pending = await self._ask(stream, request, one=False)
            for message in messages:
                yield message
            if not messages:
                return
            after = int((messages[-1].headers or {})["Nats-Sequence"])

    async def last(self, stream: str, where: str) -> Msg | None:
        messages, _ = await self._ask(stream, {"last_by_subj": where}, one=True)
        return messages[0] if messages else None

    async def _ask(
        self, stream: str, request: dict[str, Any], *, one: bool
    ) -> tuple[list[Msg], int]:
        await self._subscribe()
        name = str(next(self._numbers))
        answer = self._waiting[name] = _Answer(one=one)
        try:
            await self._client.publish(
                DIRECT + stream, msgspec.json.encode(request), reply=f"{self._inbox}.{name}"
            )
            await asyncio.wait_for(answer.done, self._timeout_s)
        except (*AWAY, TimeoutError) as error:
            raise LogUnavailable(away(self._client, error)) from error
        finally:
            del self._waiting[name]
        return answer.messages, answer.pending

    async def _subscribe(self) -> None:
        if self._subscribed is None:
            self._subscribed = asyncio.ensure_future(self._listen())
        try:
            await asyncio.shield(self._subscribed)
        except nats.errors.Error as error:
            self._subscribed = None
            raise LogUnavailable(away(self._client, error)) from error

    async def _listen(self) -> None:
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    async def _on_message(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is not None:
            answer.take(message)


class _Answer:
    def __init__(self, *, one: bool) -> None:
        self.messages: list[Msg] = []
        self.pending = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._one = one

    def take(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self.messages.append(message)
        if status is not None or self._one:
            self.pending = int(headers.get("Nats-Num-Pending", 0)) if status == "204" else 0
            if status in (None, "204", "404"):
                self._end(None)
            else:
                self._end(LogUnavailable(f"the log cannot be read: {headers}"))

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)
