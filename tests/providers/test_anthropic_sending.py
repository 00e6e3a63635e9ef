"""Claude through its SDK, against a server: what is sent, and each way an answer may come."""

from __future__ import annotations

import asyncio

import pytest

from stepfold.events.transcript import Heard, Thought
from stepfold.events.values import Delta, Refusal, Text
from stepfold.providers.anthropic import Anthropic
from tests.providers.anthropic_served import MESSAGE, ask, prompt, written
from tests.providers.raw_server import json, serving, stream


async def test_a_whole_answer_is_read_and_what_was_sent_is_ours() -> None:
    async with serving(json(MESSAGE)) as server:
        reply = await ask(server, traceparent="00-1-2-01")

    asked = server.requests[0]
    assert reply.all_text() == "Hello\u2028you, Zoë!"
    assert (reply.provider, reply.model, reply.tier) == (
        "anthropic",
        "claude-sonnet-5-5",
        "priority",
    )
    assert (reply.finish, reply.finish_word, reply.response) == ("tool_calls", "tool_use", "msg_1")
    assert (asked.method, asked.path) == ("POST", "/v1/messages")
    assert asked.headers["traceparent"] == "00-1-2-01"
    assert asked.headers["content-type"] == "application/json"
    assert "key-1" in asked.headers.get("x-api-key", "") + asked.headers.get("authorization", "")
    assert "stream" not in asked.json


async def test_who_hears_gets_a_stream_and_the_same_answer() -> None:
    heard: list[Delta] = []
    async with serving(json(MESSAGE), stream(*written())) as server:
        whole = await ask(server)
        reply = await ask(server, hear=heard.append)

    assert server.requests[1].json["stream"] is True
    assert reply == whole
    assert "".join(each.text for each in heard if each.kind == "text") == reply.all_text()
    assert "".join(each.text for each in heard if each.kind == "thinking") == "They greet."


async def test_a_stream_may_come_byte_by_byte() -> None:
    data = "".join(written()).encode()
    async with serving(
        json(MESSAGE), stream(*(data[n : n + 1] for n in range(len(data))))
    ) as server:
        whole = await ask(server)
        assert await ask(server, hear=lambda _: None) == whole


async def test_who_hears_may_be_given_a_whole_answer() -> None:
    async with serving(json(MESSAGE)) as server:
        assert (await ask(server, hear=lambda _: None)).finish == "tool_calls"


async def test_a_connection_that_breaks_after_the_end_does_no_harm() -> None:
    async with serving(stream(*written(), ending="abrupt")) as server:
        assert (await ask(server, hear=lambda _: None)).finish == "tool_calls"


async def test_first_calls_at_once_share_a_client_that_opens_again_after_it_was_closed() -> None:
    async with serving(*[json(MESSAGE)] * 3) as server:
        model = Anthropic(api_key="k", base_url=server.url)
        one, other = await asyncio.gather(model.reply(prompt()), model.reply(prompt()))
        await model.close()
        again = await model.reply(prompt())
        await model.close()

    assert one == other == again


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("pause_turn", "paused"),
        ("model_context_window_exceeded", "context_overflow"),
        ("something_new", "unknown"),
    ],
)
async def test_why_it_stopped(word: str, finish: str) -> None:
    message = {**MESSAGE, "content": MESSAGE["content"][:2], "stop_reason": word}
    async with serving(json(message)) as server:
        reply = await ask(server)

    assert (reply.finish, reply.finish_word) == (finish, word)


async def test_a_paused_turn_goes_back_last_to_go_on() -> None:
    call = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
    paused = {**MESSAGE, "content": [call], "stop_reason": "pause_turn"}
    async with serving(stream(*written(paused)), json(MESSAGE)) as server:
        reply = await ask(server, hear=lambda _: None)
        turn = Thought(reply.parts, reply.state)
        await ask(server, transcript=(Heard("Hi"), turn))

    assert reply.finish == "paused"
    assert server.requests[1].json["messages"][-1] == {"role": "assistant", "content": [call]}


async def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    message = {**MESSAGE, "content": [], "stop_reason": "refusal", "stop_details": details}
    async with serving(json(message), stream(*written(message))) as server:
        reply = await ask(server)
        streamed = await ask(server, hear=lambda _: None)

    assert (reply.finish, reply.parts, reply.state) == ("refusal", (Refusal("Not this."),), None)
    assert streamed == reply


async def test_an_empty_answer_is_an_answer_without_parts() -> None:
    message = {**MESSAGE, "content": [], "stop_reason": "end_turn"}
    async with serving(json(message)) as server:
        reply = await ask(server)

    assert (reply.parts, reply.all_parts(), reply.finish) == ((), (), "stop")
    assert reply.usage is not None


async def test_a_call_that_the_limit_of_tokens_cut_is_left_out() -> None:
    told = written({**MESSAGE, "stop_reason": "max_tokens"})
    cut = [each for each in told if "input_json_delta" not in each or '{\\"at' in each]
    async with serving(stream(*cut)) as server:
        reply = await ask(server, hear=lambda _: None)

    assert [type(part) for part in reply.parts][-1] is Text
    assert reply.finish == "length"
    assert reply.state is not None
    assert [block["type"] for block in reply.state.turn] == ["thinking", "text"]
