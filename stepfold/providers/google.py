"""Gemini, of the Gemini API and of Vertex, through Google's SDK. The only file that knows it.

The SDK finds the address, the key or the token. What is sent and what comes back are our own bytes
on our own connection: its methods would try again, call tools, go on by themselves where an answer
stopped, and lose what they do not know of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.values import Usage
from stepfold.providers import google_embeddings as embeddings
from stepfold.providers import google_generate as generate
from stepfold.providers.embedder import Embedded, Vector, What
from stepfold.providers.failures import unreachable
from stepfold.providers.google_failures import refusal
from stepfold.providers.google_stream import framed
from stepfold.providers.hearing import EVENT_STREAM, assembled, broken, costing, whole
from stepfold.providers.model import ModelError, ModelFailed, Prompt, Reply
from stepfold.providers.wire import Json

TIMEOUT_S, SHORT_TIMEOUT_S, CONNECT_S = 600.0, 60.0, 10.0
_OK = 200
_STREAM = "streamGenerateContent?alt=sse"


class Key(Struct, frozen=True):
    """Of the Gemini API."""

    provider: ClassVar[str] = "google"
    version: ClassVar[str] = "v1beta"
    api_key: str


class Project(Struct, frozen=True):
    """Of Vertex. Without `credentials` (google-auth's) they are Google's default ones."""

    provider: ClassVar[str] = "vertex"
    version: ClassVar[str] = "v1beta1"
    project: str
    location: str = "global"
    credentials: Any = None


Account = Key | Project


class _Connection:
    """To the API of one account, opened when it is first used."""

    def __init__(self, account: Account, base_url: str, timeout_s: float) -> None:
        self._account = account
        self._base_url = base_url
        self.vertex = isinstance(account, Project)
        self.timeout_s = timeout_s
        self._client: Any = None
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
        self._client = self._pool = None

    def path(self, model: str) -> str:
        """Of a model, as the API names it."""
        if model.startswith(("models/", "projects/", "publishers/", "tunedModels/")):
            return model
        return f"publishers/google/models/{model}" if self.vertex else f"models/{model}"

    @asynccontextmanager
    async def post(self, path: str, body: Json, traceparent: str = "") -> AsyncIterator[Any]:
        """The answer of a request that was taken, not read yet; else a ModelError."""
        client = await self.open()
        import httpx2

        begun = False
        try:
            request = await self._request(client, path, body, traceparent)
            response = await self._pool.send(request, stream=True)
            try:
                begun = True
                if response.status_code != _OK:
                    told = (await response.aread()).decode(errors="replace")
                    raise refusal(response.status_code, told, response.headers)
                yield response
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            raise (broken if begun else unreachable)(error) from error

    @property
    def late(self) -> ModelError:
        return unreachable(TimeoutError(f"no whole answer within {self.timeout_s:g} s"))

    async def _request(self, client: Any, path: str, body: Json, traceparent: str) -> Any:
        headers = {"traceparent": traceparent} if traceparent else {}
        made = client._build_request("post", path, {}, {"headers": headers})
        if self.vertex:
            made.headers |= await _authorised(client)
        content = msgspec.json.encode(body)
        return self._pool.build_request("POST", made.url, content=content, headers=made.headers)

    async def open(self) -> Any:
        """The import takes seconds: a thread does it, the loop goes on, no deadline runs."""
        async with self._opening:
            if self._client is None:
                import httpx2

                timeout = httpx2.Timeout(self.timeout_s, connect=CONNECT_S)
                self._pool = httpx2.AsyncClient(timeout=timeout)
                self._client = await asyncio.to_thread(self._made, self._pool)
            return self._client

    def _made(self, pool: Any) -> Any:
        from google.genai import Client
        from google.genai.types import HttpOptions, HttpRetryOptions

        options = HttpOptions(
            base_url=self._base_url or None,
            api_version=self._account.version,  # the SDK's default knows less
            httpx_async_client=pool,
            retry_options=HttpRetryOptions(attempts=1),
        )
        match self._account:
            case Key(api_key=api_key):
                client = Client(vertexai=False, api_key=api_key, http_options=options)
            case Project(project=project, location=location, credentials=credentials):
                client = Client(
                    vertexai=True,
                    project=project,
                    location=location,
                    credentials=credentials,
                    http_options=options,
                )
        return client._api_client


async def _authorised(client: Any) -> dict[str, str]:
    """The headers of a token that is valid now."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        token = await client._async_access_token()
    except TransportError as error:
        raise unreachable(error) from error
    except GoogleAuthError as error:
        raise ModelFailed(f"{type(error).__name__}: {error}", reason="authentication") from error
    quota = getattr(client._credentials, "quota_project_id", None)
    paying = {"x-goog-user-project": quota} if quota else {}
    return {"authorization": f"Bearer {token}", **paying}


class Google:
    """`timeout_s` is for the whole of a call."""

    def __init__(
        self,
        account: Account,
        *,
        base_url: str = "",
        name: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name or account.provider
        self._connection = _Connection(account, base_url, timeout_s)

    async def reply(self, prompt: Prompt, /) -> Reply:
        body = generate.request(prompt)
        assembly = generate.Assembly()
        await self._connection.open()
        try:
            async with asyncio.timeout(self._connection.timeout_s):
                raw = await self._raw(body, prompt, assembly)
        except TimeoutError as error:
            raise costing(self._connection.late, assembly) from error
        reply = generate.reply(raw)
        state = replace(reply.state, model=prompt.model) if reply.state else None
        model = reply.model or prompt.model
        return replace(reply, model=model, provider=self.name, state=state)

    async def close(self) -> None:
        await self._connection.close()

    async def _raw(self, body: Json, prompt: Prompt, assembly: generate.Assembly) -> Json:
        import httpx2

        whole_or_not = "generateContent" if prompt.hear is None else _STREAM
        path = f"{self._connection.path(prompt.model)}:{whole_or_not}"
        async with self._connection.post(path, body, prompt.traceparent) as response:
            if EVENT_STREAM in response.headers.get("content-type", ""):
                pieces = framed(response.aiter_bytes())
                return await assembled(pieces, assembly, prompt.hear, (httpx2.HTTPError,))
            return whole(await response.aread())


class GoogleEmbedder:
    def __init__(
        self,
        account: Account,
        *,
        base_url: str = "",
        name: str = "",
        timeout_s: float = SHORT_TIMEOUT_S,
    ) -> None:
        self.name = name or account.provider
        self._connection = _Connection(account, base_url, timeout_s)

    async def embed(self, texts: Sequence[str], /, *, model: str, what: What) -> Embedded:
        """In as many requests as it takes. An error says what those before it cost."""
        told: list[Vector] = []
        spent: Usage | None = None
        for batch in embeddings.batches(texts):
            try:
                raw = await self._embed(batch, self._connection.path(model), what)
                spent = embeddings.total(spent, embeddings.usage_of(raw))
                told += embeddings.vectors(raw, len(batch))
            except ModelError as error:
                error.usage = spent
                raise
        return Embedded(tuple(told), model, self.name, spent)

    async def _embed(self, texts: Sequence[str], path: str, what: What) -> Json:
        vertex = self._connection.vertex
        body = embeddings.request(texts, path, what, vertex=vertex)
        method = f"{path}:{embeddings.method(path, vertex=vertex)}"
        await self._connection.open()
        try:
            async with (
                asyncio.timeout(self._connection.timeout_s),
                self._connection.post(method, body) as response,
            ):
                return whole(await response.aread())
        except TimeoutError as error:
            raise self._connection.late from error

    async def close(self) -> None:
        await self._connection.close()
