"""Cohere through its SDK, against a server: what is sent, and each way an answer may come."""

from __future__ import annotations

import asyncio

import pytest

from stepfold.events.values import Delta, Text, Thinking, ToolCall
from stepfold.providers.cohere import Cohere
from stepfold.providers.wire import Json
from tests.providers.cohere_served import ANSWER, MODEL, SCHEMA, USAGE, ask, prompt, said, written
from tests.providers.raw_server import json, serving, stream


async def test_a_whole_answer_is_read_and_what_was_sent_is_ours() -> None:
    async with serving(json(ANSWER)) as server:
        reply = await ask(server, traceparent="00-1-2-01")

    asked = server.requests[0]
    assert reply.parts == (
        Thinking("They greet."),
        Text("Hello\u2028you, Zoë!"),
        ToolCall("", "look", {"at": "the sea"}, "look_1"),
    )
    assert (reply.provider, reply.model, reply.response) == ("cohere", MODEL, "answer_1")
    assert (reply.finish, reply.finish_word, reply.usage) == ("tool_calls", "TOOL_CALL", USAGE)
    assert (asked.method, asked.path) == ("POST", "/v2/chat")
    assert asked.headers["authorization"] == "Bearer key-1"
    assert asked.headers["traceparent"] == "00-1-2-01"
    assert asked.json["tools"][0]["function"]["parameters"] == SCHEMA
    assert (asked.json["stream"], asked.json["messages"][0]["content"][0]["text"]) == (
        False,
        "Hi, Zoë",
    )


async def test_a_turn_is_kept_as_it_was_with_the_model_that_was_asked() -> None:
    async with serving(json(ANSWER)) as server:
        state = (await ask(server)).state

    assert state is not None
    assert (state.api, state.model, state.turn) == ("cohere.chat", MODEL, ANSWER["message"])


async def test_who_hears_gets_a_stream_and_the_same_answer() -> None:
    heard: list[Delta] = []
    async with serving(json(ANSWER), stream(*written())) as server:
        whole = await ask(server)
        reply = await ask(server, hear=heard.append)

    assert server.requests[1].json["stream"] is True
    assert reply == whole
    assert "".join(each.text for each in heard if each.kind == "text") == reply.all_text()
    assert "".join(each.text for each in heard if each.kind == "thinking") == "They greet."


async def test_a_stream_may_come_byte_by_byte() -> None:
    data = "".join(written()).encode()
    pieces = (data[place : place + 1] for place in range(len(data)))
    async with serving(json(ANSWER), stream(*pieces)) as server:
        whole = await ask(server)
        assert await ask(server, hear=lambda _: None) == whole


async def test_who_hears_may_be_given_a_whole_answer() -> None:
    async with serving(json(ANSWER)) as server:
        assert (await ask(server, hear=lambda _: None)).finish == "tool_calls"


@pytest.mark.parametrize("after", ["", "data: [DONE]\n\n"])
async def test_what_comes_after_the_end_does_no_harm(after: str) -> None:
    async with serving(stream(*written(), after or ":\n\n", ending="abrupt")) as server:
        assert (await ask(server, hear=lambda _: None)).finish == "tool_calls"


async def test_first_calls_at_once_share_a_pool_that_opens_again_after_it_was_closed() -> None:
    async with serving(*[json(ANSWER)] * 3) as server:
        model = Cohere(api_key="k", base_url=server.url)
        one, other = await asyncio.gather(model.reply(prompt()), model.reply(prompt()))
        await model.close()
        again = await model.reply(prompt())
        await model.close()

    assert one == other == again


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("SOMETHING_NEW", "unknown"),
    ],
)
async def test_why_it_stopped(word: str, finish: str) -> None:
    async with serving(json(said("Hello", word)), stream(*written(said("Hello", word)))) as server:
        reply = await ask(server)
        assert await ask(server, hear=lambda _: None) == reply

    assert (reply.finish, reply.finish_word, reply.all_text()) == (finish, word, "Hello")


@pytest.mark.parametrize("message", [{"content": []}, {"content": ""}, {}])
async def test_an_empty_answer_is_an_answer_without_parts(message: Json) -> None:
    empty = {"role": "assistant", **message}
    async with serving(json({**ANSWER, "message": empty, "finish_reason": "COMPLETE"})) as server:
        reply = await ask(server)

    assert (reply.parts, reply.all_parts(), reply.finish, reply.usage) == ((), (), "stop", USAGE)


async def test_a_call_that_the_limit_of_tokens_cut_is_left_out() -> None:
    told = written({**ANSWER, "finish_reason": "MAX_TOKENS"})
    last = max(place for place, each in enumerate(told) if "tool-call-delta" in each)
    async with serving(stream(*told[:last], *told[last + 1 :])) as server:
        reply = await ask(server, hear=lambda _: None)

    assert [type(part) for part in reply.parts] == [Thinking, Text]
    assert reply.finish == "length"
    assert reply.state is not None
    assert "tool_calls" not in reply.state.turn


async def test_events_that_say_nothing_or_that_nobody_knows_yet_are_passed_over() -> None:
    first, *rest = written()
    unsaid = [
        'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":""}}}}\n\n',
        'data: {"type":"debug"}\n\n',
    ]
    async with serving(
        json(ANSWER), stream(first, unsaid[1], *rest[:2], *unsaid, *rest[2:])
    ) as server:
        whole = await ask(server)
        assert await ask(server, hear=lambda _: None) == whole
