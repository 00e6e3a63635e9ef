"""OpenAI, and servers that speak its API. The only file that knows its SDK, of which it uses the
connection and nothing else: bodies go and come as they are, and nothing is tried again here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from stepfold.providers import openai_chat, openai_responses
from stepfold.providers.embedder import Embedded, Vector, What
from stepfold.providers.failures import failure, unreachable
from stepfold.providers.hearing import EVENT_STREAM, Reckoned, assembled, broken, costing, whole
from stepfold.providers.model import ModelError, ModelFailed, Prompt, Reply
from stepfold.providers.openai_embeddings import batches, embedded, request, total
from stepfold.providers.wire import Dialect, Json

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NAME = "openai"
URL = "https://api.openai.com/v1"
TIMEOUT_S = 600.0

DialectName = Literal["responses", "chat"]
Endpoint = Literal["responses", "chat", "embeddings"]
DIALECTS: Mapping[DialectName, tuple[Dialect, Callable[[], Reckoned]]] = {
    "responses": (openai_responses, openai_responses.Assembly),
    "chat": (openai_chat, openai_chat.Assembly),
}


class Connection:
    """To one server with one key. Opened when it is first used, in that event loop. `timeout_s` is
    for the whole of a call.
    """

    def __init__(self, *, api_key: str, base_url: str, organization: str, timeout_s: float) -> None:
        self._api_key = api_key
        self._base_url = base_url or URL
        self._organization = organization
        self._timeout_s = timeout_s
        self._client: AsyncOpenAI | None = None
        self._creates: dict[Endpoint, Callable[..., Any]] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def send(
        self, endpoint: Endpoint, body: Json, traceparent: str = ""
    ) -> AsyncIterator[Any]:
        """The SDK's response, its body not yet read. Whatever goes wrong inside is a ModelError."""
        create = await self._create(endpoint)
        headers = {"traceparent": traceparent} if traceparent else {}
        try:
            with _as_ours():
                async with asyncio.timeout(self._timeout_s):
                    async with create(extra_body=body, extra_headers=headers) as response:
                        yield response
        except TimeoutError as error:
            late = TimeoutError(f"no whole answer within {self._timeout_s:g} s")
            raise unreachable(late) from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        self._client = None
        self._creates.clear()

    async def _create(self, endpoint: Endpoint) -> Callable[..., Any]:
        """The imports take a second or more: a thread does them, the loop goes on."""
        async with self._opening:
            if endpoint not in self._creates:
                if self._client is None:
                    self._client = await asyncio.to_thread(self._opened)
                create = await asyncio.to_thread(_creates, self._client, endpoint)
                self._creates[endpoint] = create
            return self._creates[endpoint]

    def _opened(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._base_url,
            organization=self._organization or None,
            timeout=self._timeout_s,
            max_retries=0,
        )


class OpenAI:
    """`name` is what the provider is called in routes and prices; `dialect` `chat` for servers that
    speak only that, at their `base_url`. `extra` is laid over every body: `{"service_tier":
    "flex"}`, `{"reasoning": {"summary": "auto"}}`, tools that OpenAI runs itself.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        organization: str = "",
        name: str = NAME,
        dialect: DialectName = "responses",
        timeout_s: float = TIMEOUT_S,
        extra: Json | None = None,
    ) -> None:
        self.name = name
        self._dialect = dialect
        self._extra = extra or {}
        self._connection = Connection(
            api_key=api_key, base_url=base_url, organization=organization, timeout_s=timeout_s
        )

    async def reply(self, prompt: Prompt, /) -> Reply:
        """It streams when somebody hears it, and tells the same in the end."""
        speaks, assemble = DIALECTS[self._dialect]
        body = _laid_over(speaks.request(prompt, stream=prompt.hear is not None), self._extra)
        assembly = assemble()
        try:
            async with self._connection.send(self._dialect, body, prompt.traceparent) as response:
                if prompt.hear is not None and _streams(response):
                    raw = await assembled(response.iter_bytes(), assembly, prompt.hear, _lost())
                else:
                    raw = whole(await response.read())
        except ModelError as error:
            costing(error, assembly)
            raise
        return replace(speaks.reply(raw), provider=self.name)

    async def close(self) -> None:
        await self._connection.close()


class OpenAIEmbedder:
    """Embeddings of OpenAI or of a server that speaks its API."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        organization: str = "",
        name: str = NAME,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._connection = Connection(
            api_key=api_key, base_url=base_url, organization=organization, timeout_s=timeout_s
        )

    async def embed(self, texts: Sequence[str], /, *, model: str, what: What) -> Embedded:
        """In as many requests as it takes. An error says what those before it cost."""
        vectors: list[Vector] = []
        answered, spent = model, None
        for batch in batches(texts):
            try:
                told = await self._embed(batch, model)
            except ModelError as error:
                error.usage = total(spent, error.usage)
                raise
            vectors += told.vectors
            answered, spent = told.model, total(spent, told.usage)
        return Embedded(tuple(vectors), answered, self.name, spent)

    async def _embed(self, texts: Sequence[str], model: str) -> Embedded:
        body = request(texts, model)
        async with self._connection.send("embeddings", body) as response:
            raw = whole(await response.read())
        return embedded(raw, len(texts), self.name)

    async def close(self) -> None:
        await self._connection.close()


def _creates(client: AsyncOpenAI, endpoint: Endpoint) -> Callable[..., Any]:
    """What the SDK demands beside a body is empty: the body's own fields take its place."""
    match endpoint:
        case "responses":
            return client.responses.with_streaming_response.create
        case "chat":
            chat = client.chat.completions.with_streaming_response.create
            return partial(chat, model="", messages=[])
        case "embeddings":
            embeddings = client.embeddings.with_streaming_response.create
            return partial(embeddings, model="", input=[])


def _streams(response: Any) -> bool:
    """A server that does not stream answers a wish for it with the whole."""
    return EVENT_STREAM in response.headers.get("content-type", "")


def _lost() -> tuple[type[Exception], ...]:
    """The errors of the connection beneath the SDK, which lets them through in a body."""
    import httpx2

    return (httpx2.HTTPError,)


@contextmanager
def _as_ours() -> Iterator[None]:
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise failure(error.status_code, error.response.text, error.response.headers) from error
    except openai.APIConnectionError as error:
        raise unreachable(_cause(error)) from error
    except openai.OpenAIError as error:
        raise ModelFailed(f"{type(error).__name__}: {error}", reason="invalid_request") from error
    except _lost() as error:
        raise broken(error) from error


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, Exception) else error


def _laid_over(body: Json, extra: Mapping[str, Any]) -> Json:
    """Objects are joined, lists go on, everything else is replaced."""
    told = dict(body)
    for key, value in extra.items():
        before = told.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            told[key] = {**before, **value}
        elif isinstance(before, list) and isinstance(value, list):
            told[key] = [*before, *value]
        else:
            told[key] = value
    return told
