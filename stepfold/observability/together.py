"""Spans of several steps in one request: what comes while one is under way goes with the next.

What is refused together is sent one by one, so that nobody waits for what another has in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from stepfold.observability.otlp import ExportRefused
from stepfold.observability.spans import Spans

Send = Callable[[Spans], Awaitable[object]]
Waiting = list[tuple[Spans, asyncio.Future[None]]]


class Together:
    """What `send` raises, each `tell` raises that it was for."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: Waiting = []
        self._sending: asyncio.Task[None] | None = None

    async def tell(self, spans: Spans) -> None:
        told = asyncio.get_running_loop().create_future()
        self._waiting.append((spans, told))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._run())
        await told

    async def _run(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            error = await self._try(taken)
            if isinstance(error, ExportRefused) and len(taken) > 1:
                for each in taken:
                    _settle([each], await self._try([each]))
            else:
                _settle(taken, error)

    async def _try(self, taken: Waiting) -> Exception | None:
        try:
            await self._send(tuple(span for spans, _ in taken for span in spans))
        except Exception as error:  # noqa: BLE001  (whatever it is, those who wait are told)
            return error
        return None


def _settle(taken: Waiting, error: Exception | None) -> None:
    for _, told in taken:
        if told.done():
            continue  # who waited for it has been cancelled
        if error is None:
            told.set_result(None)
        else:
            told.set_exception(error)
