"""Google behind a server of ours: what it says, how it is asked, what a failure ends as."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepfold.events.transcript import Heard
from stepfold.providers.google import Account, Google, Key
from stepfold.providers.model import (
    Delta,
    ModelError,
    Prompt,
    Reply,
)
from stepfold.providers.wire import Json
from tests.providers.google_recordings import in_pieces
from tests.providers.raw_server import Answer, RawServer, json, serving

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = Key("g-test")
LATE_S = 0.3
PARTS: list[Json] = [{"text": "Hello there, friend."}]
WHOLE: Json = {
    "candidates": [{"content": {"role": "model", "parts": PARTS}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 12,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 20,
        "serviceTier": "standard",
    },
    "modelVersion": "gemini-2.5-flash-001",
    "responseId": "g1",
}


def prompt(**more: Any) -> Prompt:
    told = {"model": "gemini-2.5-flash", "traceparent": TRACE, **more}
    return Prompt(
        instructions="Be brief.", tools=(), transcript=(Heard("Hello"),), call="r1", **told
    )


@asynccontextmanager
async def model(
    *answers: Answer, account: Account = KEY, **more: Any
) -> AsyncIterator[tuple[Google, RawServer]]:
    async with serving(*answers) as server:
        google = Google(account, base_url=server.url, **more)
        try:
            yield google, server
        finally:
            await google.close()


async def failed(
    answer: Answer, *, hear: Callable[[Delta], None] | None = None, **more: Any
) -> ModelError:
    async with model(answer, **more) as (google, server):
        with pytest.raises(ModelError) as raised:
            await google.reply(prompt(hear=hear))
        assert len(server.requests) == 1, "it is the pipeline that tries again"
        return raised.value


async def told(**candidate: Any) -> Reply:
    raw = {**WHOLE, "candidates": [{**WHOLE["candidates"][0], **candidate}]}
    async with model(json(raw)) as (google, _):
        return await google.reply(prompt())


def nobody(delta: Delta) -> None:
    """Asks for a stream."""


def pieces(raw: Json = WHOLE) -> list[str]:
    return [f"data: {data}\r\n\r\n" for _, data in in_pieces(raw)]
