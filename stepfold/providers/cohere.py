"""Cohere's chat, embeddings and reranking, through its SDK. The only file that knows it.

The SDK finds the address and the headers. What is sent and what comes back are our own bytes: its
methods skip the events of a stream that they cannot read, and drop what they do not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from stepfold.events.values import Usage
from stepfold.providers import cohere_chat as chat
from stepfold.providers import cohere_search as search
from stepfold.providers.embedder import Embedded, Vector, What
from stepfold.providers.failures import failure, unreachable
from stepfold.providers.hearing import EVENT_STREAM, assembled, broken, costing, whole
from stepfold.providers.model import ModelError, Prompt, Reply
from stepfold.providers.reranker import Reranked
from stepfold.providers.wire import Json

PROVIDER = "cohere"
TIMEOUT_S, SHORT_TIMEOUT_S, CONNECT_S = 600.0, 60.0, 10.0
_ERROR = 400


class _Connection:
    """One connection pool. It never tries again: `stream`, unlike the SDK's `request`, does not.
    It opens with the first call, in that event loop; after `close` the next one opens it.
    """

    def __init__(self, api_key: str, base_url: str, timeout_s: float) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._client: Any = None
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        pool, self._pool, self._client = self._pool, None, None
        if pool is not None:
            await pool.aclose()

    @asynccontextmanager
    async def post(self, path: str, body: Json, traceparent: str = "") -> AsyncIterator[Any]:
        """The answer of a request that was taken, not read yet; else a ModelError. The deadline
        holds until it is left.
        """
        client = await self._connected()
        import httpx

        headers = {"traceparent": traceparent} if traceparent else {}
        sending = client.stream(path, method="POST", json=body, headers=headers)
        begun = False
        try:
            async with asyncio.timeout(self._timeout_s), sending as response:
                begun = True
                if response.status_code >= _ERROR:
                    told = (await response.aread()).decode(errors="replace")
                    raise failure(response.status_code, told, response.headers)
                yield response
        except TimeoutError as error:
            late = TimeoutError(f"no whole answer within {self._timeout_s:g} s")
            raise unreachable(late) from error
        except httpx.HTTPError as error:
            raise (broken if begun else unreachable)(error) from error

    async def whole(self, path: str, body: Json) -> Json:
        async with self.post(path, body) as response:
            return whole(await response.aread())

    async def _connected(self) -> Any:
        """The import takes seconds: a thread does it, the loop goes on, no deadline runs."""
        async with self._opening:
            if self._client is None:
                self._client, self._pool = await asyncio.to_thread(self._opened)
            return self._client

    def _opened(self) -> tuple[Any, Any]:
        import httpx
        from cohere.core.client_wrapper import AsyncClientWrapper
        from cohere.environment import ClientEnvironment

        timeout = httpx.Timeout(self._timeout_s, connect=CONNECT_S)
        pool = httpx.AsyncClient(timeout=timeout, follow_redirects=True)
        wrapper = AsyncClientWrapper(
            token=self._api_key,
            base_url=self._base_url or ClientEnvironment.PRODUCTION.value,
            httpx_client=pool,
            max_retries=0,
        )
        return wrapper.httpx_client, pool


class Cohere:
    """`timeout_s` is for the whole of a call."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        name: str = PROVIDER,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._connection = _Connection(api_key, base_url, timeout_s)

    async def reply(self, prompt: Prompt, /) -> Reply:
        body = chat.request(prompt, stream=prompt.hear is not None)
        assembly = chat.Assembly()
        try:
            raw = await self._raw(body, prompt, assembly)
        except ModelError as error:
            costing(error, assembly)
            raise
        reply = chat.reply(raw)
        state = replace(reply.state, model=prompt.model) if reply.state else None
        return replace(reply, model=prompt.model, provider=self.name, state=state)

    async def close(self) -> None:
        await self._connection.close()

    async def _raw(self, body: Json, prompt: Prompt, assembly: chat.Assembly) -> Json:
        import httpx

        async with self._connection.post("v2/chat", body, prompt.traceparent) as response:
            if EVENT_STREAM in response.headers.get("content-type", ""):
                pieces = response.aiter_bytes()
                return await assembled(pieces, assembly, prompt.hear, (httpx.HTTPError,))
            return whole(await response.aread())


class CohereEmbedder:
    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        name: str = PROVIDER,
        timeout_s: float = SHORT_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._connection = _Connection(api_key, base_url, timeout_s)

    async def embed(self, texts: Sequence[str], /, *, model: str, what: What) -> Embedded:
        """In as many requests as it takes. An error says what those before it cost."""
        told: list[Vector] = []
        spent: Usage | None = None
        for batch in search.batches(texts):
            try:
                body = search.embedding(batch, model, what)
                raw = await self._connection.whole("v2/embed", body)
                spent = search.total(spent, search.usage_of(raw))
                told += search.vectors(raw, len(batch))
            except ModelError as error:
                error.usage = spent
                raise
        return Embedded(tuple(told), model, self.name, spent)

    async def close(self) -> None:
        await self._connection.close()


class CohereReranker:
    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        name: str = PROVIDER,
        timeout_s: float = SHORT_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._connection = _Connection(api_key, base_url, timeout_s)

    async def rerank(self, query: str, texts: Sequence[str], /, *, model: str, k: int) -> Reranked:
        """Nothing is asked, and nothing paid, where there is nothing to choose from."""
        if not texts or k < 1:
            return Reranked((), model, self.name)
        body = search.ranking(query, texts, model, k)
        raw = await self._connection.whole("v2/rerank", body)
        usage = search.usage_of(raw)
        try:
            order = search.ranks(raw, len(texts))
        except ModelError as error:
            error.usage = usage
            raise
        return Reranked(order[:k], model, self.name, usage)

    async def close(self) -> None:
        await self._connection.close()
