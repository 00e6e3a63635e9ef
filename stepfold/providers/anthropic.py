"""Claude, through Anthropic's SDK. The only file that knows it.

The SDK finds the address, the key and the connection. What is sent and what comes back are our own
bytes: its methods would warn, add to a request and drop what they do not know of an answer, and a
stream that was cut would end as if it were whole.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec.structs import replace

from stepfold.providers import anthropic_messages as messages
from stepfold.providers.failures import failure, unreachable
from stepfold.providers.hearing import EVENT_STREAM, assembled, broken, costing, whole
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.wire import Json

PROVIDER = "anthropic"
TIMEOUT_S, CONNECT_S = 600.0, 10.0
_PATH = "/v1/messages"


class Anthropic:
    """`timeout_s` is for the whole of a call. Telemetry and retries of the SDK are off. The
    connection opens with the first call, in that event loop; after `close` the next one opens it.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        name: str = PROVIDER,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self.name = name
        self._timeout_s = timeout_s
        self._client: Any = None
        self._opening = asyncio.Lock()

    async def reply(self, prompt: Prompt, /) -> Reply:
        body = messages.request(prompt, stream=prompt.hear is not None)
        assembly = messages.Assembly()
        client = await self._connected()
        try:
            async with asyncio.timeout(self._timeout_s):
                raw = await self._raw(client, body, prompt, assembly)
        except TimeoutError as error:
            late = TimeoutError(f"no whole answer within {self._timeout_s:g} s")
            raise costing(unreachable(late), assembly) from error
        return replace(messages.reply(raw), provider=self.name)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _raw(
        self, client: Any, body: Json, prompt: Prompt, assembly: messages.Assembly
    ) -> Json:
        import httpx2

        response = await self._post(client, body, prompt.traceparent)
        try:
            if EVENT_STREAM in response.headers.get("content-type", ""):
                body_of = response.aiter_bytes()
                return await assembled(body_of, assembly, prompt.hear, (httpx2.HTTPError,))
            return whole(await response.aread())
        except httpx2.HTTPError as error:
            raise broken(error) from error
        finally:
            await response.aclose()

    async def _post(self, client: Any, body: Json, traceparent: str) -> Any:
        import anthropic
        import httpx2

        try:
            return await client.post(
                _PATH,
                content=msgspec.json.encode(body),
                cast_to=httpx2.Response,
                options={"headers": {"traceparent": traceparent}} if traceparent else {},
                stream=True,
                stream_cls=anthropic.AsyncStream,
            )
        except anthropic.APIStatusError as error:
            answer = error.response
            raise failure(answer.status_code, answer.text, answer.headers) from error
        except anthropic.APIConnectionError as error:
            cause = error.__cause__
            raise unreachable(cause if isinstance(cause, Exception) else error) from error

    async def _connected(self) -> Any:
        """The import takes seconds: a thread does it, the loop goes on, no deadline runs."""
        async with self._opening:
            self._client = self._client or await asyncio.to_thread(self._opened)
            return self._client

    def _opened(self) -> Any:
        import anthropic

        return anthropic.AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._base_url or None,
            timeout=anthropic.Timeout(self._timeout_s, connect=CONNECT_S),
            max_retries=0,
            open_telemetry=False,
        )
