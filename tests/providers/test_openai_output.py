"""Items of the Responses API that are more than words and calls: images, thinking, hosted tools."""

from __future__ import annotations

import base64
import hashlib

from stepfold.events.transcript import Heard, Thought
from stepfold.events.values import FileRef, HostedTool, State, Text, Thinking
from stepfold.providers.openai_chat import reply as chat_reply
from stepfold.providers.openai_output import sendable, stateless
from stepfold.providers.openai_responses import API, reply
from stepfold.providers.wire import Json
from tests.providers.openai_asked import HELLO, body, said
from tests.providers.openai_served import MESSAGE, WHOLE, with_message

PNG = b"\x89PNG of a cat"
NAME = "sha256:" + hashlib.sha256(PNG).hexdigest()
IMAGE: Json = {
    "type": "image_generation_call",
    "id": "ig_1",
    "status": "completed",
    "output_format": "webp",
    "revised_prompt": "a cat",
    "result": base64.b64encode(PNG).decode(),
}
REASONING: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "hm"}],
    "content": None,
    "encrypted_content": "c2ln",
}


def test_an_image_is_a_blob_and_its_bytes_are_in_no_part_and_no_state() -> None:
    told = reply({**WHOLE["responses"], "output": [IMAGE]})

    assert told.blobs == {NAME: PNG}
    assert told.parts == (
        HostedTool("image_generation", "ig_1", "a cat", None, "completed"),
        FileRef("image/webp", blob=NAME),
    )
    assert told.state == State(API, told.model, [{**IMAGE, "result": NAME}])


def test_an_image_that_was_not_made_is_told_and_is_no_file() -> None:
    told = reply({**WHOLE["responses"], "output": [{**IMAGE, "result": None, "status": "failed"}]})

    (part,) = told.parts
    assert isinstance(part, HostedTool)
    assert (part.status, told.blobs) == ("failed", {})


def test_an_image_goes_back_with_its_bytes_when_they_are_at_hand() -> None:
    told = reply({**WHOLE["responses"], "output": [IMAGE, MESSAGE]})
    turn = Thought(told.parts, told.state)

    with_bytes = body("responses", HELLO, turn, Heard("Again?"), blobs=told.blobs)
    without = body("responses", HELLO, turn, Heard("Again?"))

    assert said(with_bytes)[1:-1] == [IMAGE, MESSAGE]
    assert said(without)[1:-1] == [MESSAGE]


def test_thinking_that_led_to_nothing_is_not_sent_back() -> None:
    assert sendable([REASONING], {}) == []
    assert [item["type"] for item in sendable([REASONING, MESSAGE], {})] == ["reasoning", "message"]
    assert sendable([MESSAGE, REASONING, IMAGE], {}) == [MESSAGE]


def test_nulls_that_the_api_gives_and_does_not_take_are_not_sent_back() -> None:
    content: list[Json] = [
        {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": None}
    ]

    thought, message = sendable([REASONING, {**MESSAGE, "content": content}], {})

    assert "content" not in thought
    assert message["content"] == [{"type": "output_text", "text": "Hi", "annotations": []}]


def test_thinking_without_its_encrypted_form_is_not_stateless() -> None:
    assert stateless([REASONING, MESSAGE])
    assert not stateless([{**REASONING, "encrypted_content": None}])


def test_summaries_of_one_train_of_thought_are_one_part() -> None:
    summary = [{"type": "summary_text", "text": text} for text in ("First.", "Second.")]

    told = reply({**WHOLE["responses"], "output": [{**REASONING, "summary": summary}, MESSAGE]})

    assert told.parts == (Thinking("First.\n\nSecond."), Text("Hello there, friend."))


def test_a_tool_that_openai_ran_is_told_with_what_went_in_and_came_out() -> None:
    call = {
        "type": "mcp_call",
        "id": "mcp_1",
        "server_label": "wiki",
        "name": "ask",
        "arguments": '{"q": "x"}',
        "output": "y",
        "error": None,
    }
    search = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}}

    told = reply({**WHOLE["responses"], "output": [call, search]})

    assert told.parts == (
        HostedTool("wiki.ask", "mcp_1", {"q": "x"}, "y"),
        HostedTool("web_search", "ws_1", {"type": "search"}),
    )
    assert told.usage is not None
    assert told.usage.billed == {"web_search": 1}


def test_a_call_of_another_kind_in_chat_is_kept_as_it_was() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}

    told = chat_reply(with_message("chat", content=None, tool_calls=[call]))

    assert told.parts == (HostedTool("custom", "c1", {"name": "sql", "input": "SELECT 1"}),)
    assert told.state is not None
    assert told.state.turn["tool_calls"] == [call]
