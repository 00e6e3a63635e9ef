"""A request begins as the one before it did, and a turn goes back as it came: caches hit."""

from __future__ import annotations

from typing import Any

import msgspec

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import (
    FileRef,
    Options,
    State,
    Text,
    ToolCall,
)
from stepfold.providers import openai_responses
from stepfold.providers.wire import Json
from tests.providers.openai_asked import (
    BLOBS,
    HELLO,
    PARIS,
    SPEAKS,
    SUNNY,
    body,
    called,
    said,
)
from tests.providers.openai_served import both


@both
def test_prompts_that_begin_alike_share_a_key_of_the_cache(dialect: str) -> None:
    key = body(dialect)["prompt_cache_key"]

    assert body(dialect, Heard("Something else"))["prompt_cache_key"] == key
    assert body(dialect, instructions="Be long.")["prompt_cache_key"] != key
    assert body(dialect, tools=())["prompt_cache_key"] != key
    assert "prompt_cache_key" not in body(dialect, options=Options(cache=False))


def test_a_server_of_other_models_gets_no_key_that_it_may_not_know() -> None:
    assert "prompt_cache_key" not in body("chat", model="llama-4")


STATES: dict[str, Any] = {
    "responses": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
         "phase": "commentary",
         "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", **called("call_1", '{ "city" : "Paris" }')},
    ],
    "chat": {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {"id": "call_1", "type": "function",
             "function": {"name": "get_weather", "arguments": '{ "city" : "Paris" }'}}
        ],
    },
}  # fmt: skip


@both
def test_a_request_begins_byte_for_byte_as_the_one_before_it(dialect: str) -> None:
    again = ToolCall("r2.1", "get_weather", {"city": "Rome"}, "call_1")
    state = State(SPEAKS[dialect].API, "gpt-5-2025-08-07", STATES[dialect])
    turns: list[tuple[Item, ...]] = [
        (HELLO,),
        (Thought((Text("I look."), PARIS), state), SUNNY),
        (Heard("And Rome?", (FileRef("image/png", blob="sha256:png"),)),),
        (Thought((again,)), Result("r2.1", "get_weather", "rain")),
        (Thought((Text("Take an umbrella."),)), Heard("Thanks.")),
    ]

    before = b""
    for number in range(1, len(turns) + 1):
        items = [item for turn in turns[:number] for item in turn]
        told = msgspec.json.encode(with_the_talk_last(body(dialect, *items, blobs=BLOBS)))
        assert told.startswith(before.removesuffix(b"]}")), f"turn {number}"
        before = told


def with_the_talk_last(told: Json) -> Json:
    """In the order that the cache sees: everything else, which must not change, then the talk."""
    name = "input" if "input" in told else "messages"
    return {**{key: value for key, value in told.items() if key != name}, name: told[name]}


@both
def test_a_turn_goes_back_as_it_was_to_another_date_of_its_model_only(dialect: str) -> None:
    state = State(SPEAKS[dialect].API, "gpt-5-2025-08-07", STATES[dialect])
    items = (HELLO, Thought((Text("I look."), PARIS), state), SUNNY)
    whole = state.turn if dialect == "responses" else [state.turn]

    assert said(body(dialect, *items))[1:-1] == whole
    assert '{ "city"' not in str(body(dialect, *items, model="gpt-5-mini"))


def test_thinking_of_which_only_the_name_is_left_is_not_sent_to_a_server_that_kept_nothing() -> (
    None
):
    turn = [{"type": "reasoning", "id": "rs_1", "summary": []}, *STATES["responses"][1:]]
    state = State(openai_responses.API, "gpt-5", turn)

    told = said(body("responses", HELLO, Thought((Text("I look."), PARIS), state), SUNNY))

    assert told[1:3] == [
        {"role": "assistant", "content": "I look."},
        called("call_1", '{"city":"Paris"}'),
    ]
