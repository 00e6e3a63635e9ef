"""Every recorded exchange with OpenAI: read, kept in the log, and sent again."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from stepfold.events.envelope import first
from stepfold.events.values import HostedTool, Text, Thinking, ToolCall
from stepfold.events.wire import decode, encode, subject
from stepfold.handlers.prompt import reasoned
from stepfold.providers.model import Malformed, ModelFailed
from stepfold.providers.openai_output import stateless
from stepfold.providers.wire import Json
from stepfold.testing import ASKED
from tests.providers.openai_recordings import (
    DIALECTS,
    WIRE,
    Exchange,
    answers,
    as_the_sdk_reads_it,
    assembled,
    exchanges,
    heard,
    in_pieces,
    prompt_after,
    streams,
    thought,
)

pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")

AT = datetime(2026, 1, 1, tzinfo=UTC)
RESPONSES, CHAT = "openai_responses", "openai_chat"
HOSTED = ("_call", "_output", "compaction", "mcp_list_tools")
each_answer = pytest.mark.parametrize("told", answers(RESPONSES, CHAT), ids=lambda told: told.name)
each_stream = pytest.mark.parametrize("told", streams(RESPONSES, CHAT), ids=lambda told: told.name)
each_whole = pytest.mark.parametrize(
    "told",
    [each for each in answers(RESPONSES, CHAT) if not each.stream],
    ids=lambda told: told.name,
)


def test_all_of_them_are_there() -> None:
    assert (len(exchanges(RESPONSES)), len(exchanges(CHAT))) == (142, 103)
    assert (len(answers(RESPONSES)), len(answers(CHAT))) == (141, 102)
    assert (len(streams(RESPONSES)), len(streams(CHAT))) == (11, 32)


@each_answer
def test_an_answer_survives_the_log(told: Exchange) -> None:
    event = reasoned(ASKED, DIALECTS[told.api].reply(told.raw), elapsed_ms=1)
    draft = first("acme", "c1", event, by="reason", key="r1")

    read = decode(subject(draft), encode(draft, at=AT, after=3), position=4, at=AT)

    assert read.event == event


@each_answer
def test_everything_that_was_said_called_and_used_is_in_the_parts(told: Exchange) -> None:
    reply = DIALECTS[told.api].reply(told.raw)

    assert [part.text for part in reply.parts if isinstance(part, Text)] == texts(told.raw)
    assert [part.text for part in reply.parts if isinstance(part, Thinking)] == thinking(told.raw)
    assert sum(isinstance(part, HostedTool) for part in reply.parts) == hosted(told.raw)
    assert [
        (part.provider_call, part.name, part.arguments)
        for part in reply.parts
        if isinstance(part, ToolCall)
    ] == calls(told.raw)


@each_answer
def test_usage_is_as_it_was_told(told: Exchange) -> None:
    usage = DIALECTS[told.api].reply(told.raw).usage
    raw = told.raw["usage"]

    if raw is None:
        assert usage is None
    elif told.api == CHAT:
        assert (usage.input, usage.output) == (raw["prompt_tokens"], raw["completion_tokens"])
        assert usage.cached == raw["prompt_tokens_details"]["cached_tokens"]
        assert usage.thinking == raw["completion_tokens_details"]["reasoning_tokens"]
    else:
        assert (usage.input, usage.output) == (raw["input_tokens"], raw["output_tokens"])
        assert usage.cached == raw["input_tokens_details"]["cached_tokens"]
        assert usage.thinking == raw["output_tokens_details"]["reasoning_tokens"]


@each_answer
def test_a_turn_is_sent_again_as_it_came_and_the_sdk_knows_every_field(told: Exchange) -> None:
    reply = DIALECTS[told.api].reply(told.raw)
    prompt = prompt_after(thought(reply), model=reply.model)

    body = DIALECTS[told.api].request(prompt)

    assert turn_of(body, len(calls(told.raw))) == expected(told.raw)
    assert as_the_sdk_reads_it(told.api, body) == body


@pytest.mark.parametrize("to", [RESPONSES, CHAT])
@each_answer
def test_to_another_api_or_model_a_turn_is_rebuilt_legally(told: Exchange, to: str) -> None:
    turn = thought(DIALECTS[told.api].reply(told.raw))
    prompt = prompt_after(turn, model="gpt-4.1-nano" if told.api == to else "o3")

    body = DIALECTS[to].request(prompt)

    assert as_the_sdk_reads_it(to, body) == body
    assert texts_sent(body) == "".join(texts(told.raw))
    assert calls_sent(body) == [(name, made) for _, name, made in calls(told.raw)]


@each_stream
def test_a_stream_that_is_cut_anywhere_is_malformed(told: Exchange) -> None:
    for end in range(len(told.stream)):
        with pytest.raises(Malformed, match="cut"):
            assembled(told.api, told.stream[:end])


@each_stream
def test_what_is_heard_is_what_is_said(told: Exchange) -> None:
    reply = DIALECTS[told.api].reply(told.raw)

    assert heard(told.api, told.stream, "text") == reply.all_text()
    assert heard(told.api, told.stream, "thinking") == "".join(thinking(told.raw))


@pytest.mark.parametrize("told", streams(RESPONSES), ids=lambda told: told.name)
def test_a_stream_gives_the_items_as_each_was_told_to_be_done(told: Exchange) -> None:
    events = [msgspec.json.decode(data) for _, data in told.stream]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    end = events[-1]["response"]

    assert told.raw["output"] == done
    assert {**told.raw, "output": len(done)} == {**end, "output": len(end["output"])}


@each_whole
def test_a_whole_answer_is_the_same_when_it_comes_in_pieces(told: Exchange) -> None:
    pieces = in_pieces(told.api, told.raw)
    reply = DIALECTS[told.api].reply(told.raw)

    assert DIALECTS[told.api].reply(assembled(told.api, pieces)) == reply
    assert heard(told.api, pieces, "text") == reply.all_text()


@pytest.mark.parametrize("api", [RESPONSES, CHAT])
def test_a_recorded_refusal_is_a_failure_that_asking_again_would_not_mend(api: str) -> None:
    refused = [each for each in exchanges(api) if each.status == 400]

    assert len(refused) == 1
    with pytest.raises(ModelFailed):
        DIALECTS[api].reply(refused[0].response)


# What an answer holds, read from it directly.


def texts(raw: Json) -> list[str]:
    if "choices" in raw:
        return [raw["choices"][0]["message"]["content"] or ""][: bool(raw_content(raw))]
    messages = [item for item in raw["output"] if item["type"] == "message"]
    return [each["text"] for item in messages for each in item["content"] if each["text"]]


def raw_content(raw: Json) -> str:
    return raw["choices"][0]["message"]["content"] or ""


def thinking(raw: Json) -> list[str]:
    items = [item for item in raw.get("output", ()) if item["type"] == "reasoning"]
    told = ["\n\n".join(each["text"] for each in item["summary"]) for item in items]
    return [text for text in told if text]


def hosted(raw: Json) -> int:
    kinds = [item["type"] for item in raw.get("output", ())]
    return sum(kind.endswith(HOSTED) and kind != "function_call" for kind in kinds)


def calls(raw: Json) -> list[tuple[str, str, Json]]:
    if "choices" in raw:
        made = raw["choices"][0]["message"].get("tool_calls") or []
        return [
            (each["id"], each["function"]["name"], json(each["function"]["arguments"]))
            for each in made
        ]
    made = [item for item in raw["output"] if item["type"] == "function_call"]
    return [(each["call_id"], each["name"], json(each["arguments"])) for each in made]


def json(text: str) -> Json:
    told: Json = msgspec.json.decode(text) if text else {}
    return told


def expected(raw: Json) -> list[Json]:
    """The turn, but for what is empty in Chat, and for thinking of which we only have the name."""
    if "choices" in raw:
        message = raw["choices"][0]["message"]
        return [{key: value for key, value in message.items() if value not in (None, [])}]
    if stateless(raw["output"]):
        return list(raw["output"])
    return [{"role": "assistant", "content": text} for text in texts(raw)] + [
        {"type": "function_call", "call_id": call, "name": name, "arguments": compact(made)}
        for call, name, made in calls(raw)
    ]


def compact(made: Json) -> str:
    return msgspec.json.encode(made).decode()


def turn_of(body: Json, results: int) -> list[Json]:
    items = body["input"] if "input" in body else body["messages"][1:]
    return list(items[1 : len(items) - results - 1])


def texts_sent(body: Json) -> str:
    items = body["input"] if "input" in body else body["messages"]
    return "".join(each.get("content", "") for each in items if each.get("role") == "assistant")


def calls_sent(body: Json) -> list[tuple[str, Json]]:
    if "input" in body:
        made = [item for item in body["input"] if item.get("type") == "function_call"]
        return [(each["name"], json(each["arguments"])) for each in made]
    made = [call for each in body["messages"] for call in each.get("tool_calls", ())]
    return [(each["function"]["name"], json(each["function"]["arguments"])) for each in made]
