"""What a grim client does to the doors of the protocols, and what a good one does on a bad line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.types import Message

from stepfold.events.event import MessageReceived, ResponseGiven
from stepfold.gateway.doors import Json
from stepfold.gateway.problems import read_body
from stepfold.gateway.refusals import FrontRefused
from tests.gateway.house import LIMIT_S
from tests.gateway.talker import PREAMBLE, QUESTION, Room, answer, talking
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASKED: list[Json] = [{"role": "user", "content": QUESTION}]
BODIES: dict[str, Json] = {
    "/v1/chat/completions": {"model": "clerk", "messages": ASKED},
    "/v1/responses": {"model": "clerk", "input": QUESTION},
    "/v1/ai-sdk": {
        "id": "grim",
        "messages": [{"id": "u", "role": "user", "parts": [{"type": "text", "text": QUESTION}]}],
    },
    "/v1/ag-ui": {
        "threadId": "grim-too",
        "runId": "r",
        "messages": [{"id": "u", "role": "user", "content": QUESTION}],
    },
    "/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
}
WRONG: dict[str, bytes] = {
    "no UTF-8": b'{"model": "cl\xff\xfe"}',
    "half a surrogate": b'{"model": "\\ud800"}',
    "a bomb of lists": b"[" * 100_000,
    "a bomb in a parameter": b'{"metadata": ' + b'{"a": ' * 5_000 + b"1" + b"}" * 5_005,
    "no number": b'{"model": NaN}',
    "a number without end": b'{"model": 1e999999}',
    "another encoding": '{"model": "clerk"}'.encode("utf-16"),
    "nothing": b"",
    "no object": b"[]",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with talking(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture
def room(open_room: Room) -> Room:
    open_room.model.begin()
    return open_room


@pytest_asyncio.fixture(loop_scope="module")
async def own_room(tmp_path: Path) -> AsyncIterator[Room]:
    async with talking(tmp_path) as made:
        yield made


async def ask(client: Any, **more: Any) -> Any:
    return await client.chat.completions.create(model="clerk", **{"messages": ASKED, **more})


def conversation(completion: Any) -> str:
    return str(completion.id).removeprefix("chatcmpl-").rpartition(".")[0]


async def said(room: Room, name: str, customer: str = "acme") -> list[str]:
    entries = await room.home.found.log.read(customer, name)
    return [each.event.text for each in entries if isinstance(each.event, MessageReceived)]


# -- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BODIES)
async def test_a_body_that_is_no_json_of_ours_is_refused(room: Room, path: str) -> None:
    accepted = "application/json, text/event-stream"
    headers = {"Content-Type": "application/json", "Accept": accepted}
    client = await room.home.client()

    told = {
        name: await client.post(path, content=body, headers=headers) for name, body in WRONG.items()
    }
    plain = await client.post(path, json=BODIES[path], headers={"Content-Type": "text/plain"})
    large = await client.post(path, content=b" " * 5_000_000, headers=headers)

    assert {each.status_code for each in told.values()} <= {400, 422}, told
    assert plain.status_code in (400, 415)
    assert large.status_code == 413
    assert not room.model.prompts


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": 5},
        {"type": "text", "text": ["a"]},
        {"type": "refusal", "refusal": 5},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "input_file", "file_id": "f"},
        {"type": "text"},
        5,
    ],
)
async def test_a_part_that_is_no_text_is_a_wrong_request(room: Room, part: Any) -> None:
    client = await room.openai()
    messages = [{"role": "user", "content": [part]}]

    with pytest.raises(openai.BadRequestError) as chat:
        await ask(client, messages=messages)
    with pytest.raises(openai.BadRequestError) as response:
        await client.responses.create(model="clerk", input=messages)

    assert chat.value.type == response.value.type == "invalid_request_error"
    assert not room.model.prompts


@pytest.mark.parametrize(
    ("more", "fine"),
    [
        ({"n": 1}, True),
        ({"n": 2}, False),
        ({"extra_body": {"n": True}}, False),
        ({"stop": None}, True),
        ({"stop": ["\n"]}, False),
        ({"max_tokens": 5, "seed": 1, "temperature": 0.5, "parallel_tool_calls": False}, True),
        ({"response_format": {"type": "text"}, "store": True}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"stream_options": {"include_usage": True}}, True),
        ({"tools": [], "tool_choice": "auto"}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
    ],
)
async def test_a_parameter_is_done_or_ignored_or_refused_by_name(
    room: Room, more: dict[str, Any], fine: bool
) -> None:
    client = await room.openai()

    if fine:
        assert (await ask(client, **more)).choices[0].message.content.endswith(answer(1))
    else:
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(client, **more)
        assert refused.value.param in {*more, "n"}
        assert refused.value.code == "unsupported_parameter"


async def test_how_much_is_to_be_said_is_ignored_in_responses_too(room: Room) -> None:
    client = await room.openai()

    told = await client.responses.create(
        model="clerk", input=QUESTION, text={"format": {"type": "text"}, "verbosity": "low"}
    )

    assert told.output_text.endswith(answer(1))


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    request = Request({"type": "http", "headers": []}, receive)

    with pytest.raises(FrontRefused, match="Too slow") as refused:
        await read_body(request, within_s=0.01)

    assert refused.value.status == 408


# -- whose it is ------------------------------------------------------------------------------


async def test_a_name_that_another_customer_has_opens_nothing_of_it(room: Room) -> None:
    owner = await room.openai()
    stranger = owner.with_options(api_key=await room.home.key("other"))
    named = {"metadata": {"conversation": "shared"}}
    await ask(owner, **named)

    first = await ask(stranger, **named)
    models = [each.id async for each in stranger.models.list()]
    with pytest.raises(openai.NotFoundError) as unknown:
        await stranger.chat.completions.create(model="acme/clerk", messages=ASKED)
    web = await room.home.client(await room.home.key("third"))
    running = await web.get("/v1/ai-sdk/shared/stream")
    events = await web.get("/v1/conversations/shared/events")

    assert first.choices[0].message.content == f"{PREAMBLE}\n\n{answer(1)}"
    assert await said(room, "shared") == await said(room, "shared", "other") == [QUESTION]
    assert models == ["clerk"]
    assert unknown.value.code == "model_not_found"
    assert (running.status_code, events.status_code) == (204, 404)


# -- on a bad line ----------------------------------------------------------------------------


async def test_two_streams_with_one_key_hear_one_answer(room: Room) -> None:
    client = await room.openai()
    again = {"extra_headers": {"Idempotency-Key": "two-streams"}, "stream": True}

    async def listen() -> tuple[str, str]:
        chunks = [chunk async for chunk in await ask(client, **again)]
        words = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
        return chunks[0].id, "".join(words)

    first, second = await asyncio.gather(listen(), listen())

    assert first == second
    assert first[1] == f"{PREAMBLE}\n\n{answer(1)}"
    assert len(room.model.prompts) == 2
    with pytest.raises(openai.ConflictError):
        await ask(client, messages=[{"role": "user", "content": "Another."}], **again)


async def test_who_goes_away_leaves_no_stream_and_the_answer_is_given(own_room: Room) -> None:
    own_room.model.may.clear()
    client = await own_room.openai()
    stream = await ask(client, stream=True, metadata={"conversation": "left"})
    async for _ in stream:
        break
    await own_room.model.hangs.wait()

    await stream.close()

    (gateway,) = own_room.home.gateways.values()
    await eventually(lambda: gateway.guard.limits.streams == 0)
    own_room.model.may.set()

    async def given() -> list[str]:
        entries = await own_room.home.found.log.read("acme", "left")
        return [each.event.text for each in entries if isinstance(each.event, ResponseGiven)]

    assert await eventually(given) == [answer(1)]


@asynccontextmanager
async def cutting(url: str, cuts: int) -> AsyncIterator[str]:
    """The way to a gateway, on which so many answers are cut off before their first byte."""
    left, at, ways = cuts, urlsplit(url), set[asyncio.Task[None]]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        there, back = await asyncio.open_connection(at.hostname, at.port)
        out = asyncio.ensure_future(carry(reader, back))
        try:
            first = await there.read(1)
            if left:
                left -= 1
                return
            writer.write(first)
            await carry(there, writer)
        finally:
            out.cancel()
            writer.close()
            back.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways.add(asyncio.ensure_future(way(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        try:
            yield f"http://{host}:{port}"
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def test_a_client_that_asks_again_by_itself_shows_the_same_key_and_is_heard_once(
    room: Room,
) -> None:
    client = await room.openai()
    named = {"metadata": {"conversation": "retried"}}

    async with cutting(room.home.url, cuts=2) as url:
        bad = client.with_options(base_url=f"{url}/v1", max_retries=2)
        told = await ask(bad, **named, extra_headers={"Idempotency-Key": "retried-1"})
        await bad.close()

    assert told.choices[0].message.content == f"{PREAMBLE}\n\n{answer(1)}"
    assert await said(room, "retried") == [QUESTION]
    assert len(room.model.prompts) == 2


# -- raw requests -----------------------------------------------------------------------------


async def raw(room: Room, head: str, body: bytes = b"") -> str:
    """All that a gateway says until it closes the connection; it has a limit for that."""
    at = urlsplit(room.home.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    key = await room.home.key()
    lines = f"{head}\nHost: x\nAuthorization: Bearer {key}\nContent-Type: application/json"
    writer.write(lines.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
    try:
        async with asyncio.timeout(LIMIT_S):
            return (await reader.read()).decode()
    finally:
        writer.close()


BODY = json.dumps(BODIES["/v1/chat/completions"]).encode()
POST = "POST /v1/chat/completions HTTP/1.1\n"
SMUGGLED = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (f"{POST}Content-Length: {len(BODY)}\nContent-Length: 3", BODY),
        (f"{POST}Content-Length: -1", BODY),
        (f"{POST}Content-Length: 1e3", BODY),
        (f"{POST}Transfer-Encoding: chunked, identity", SMUGGLED),
        (f"{POST}Transfer-Encoding: chunked\nTransfer-Encoding: identity", SMUGGLED),
        (f"{POST}Content-Length: 5\nX-A: b\n folded\nTransfer-Encoding : chunked", SMUGGLED),
    ],
)
async def test_after_a_request_that_can_be_read_in_two_ways_nothing_is_read(
    room: Room, head: str, body: bytes
) -> None:
    told = await raw(room, head, body)

    assert told.count("HTTP/1.1 ") == 1
    assert told.startswith("HTTP/1.1 4")
    assert not room.model.prompts
