"""What Claude answers, in our form: citations, tools that Anthropic ran, usage."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from stepfold.events.values import Citation, FileRef, HostedTool, Passage, Text
from stepfold.handlers.prompt import reasoned
from stepfold.providers.anthropic_messages import Assembly, reply
from stepfold.providers.model import Malformed
from stepfold.providers.wire import Json
from stepfold.testing import ASKED

HOURS = "# Hours\n\nWe open at 9. Closed on Sunday!\n"
PASSAGE = Passage("hours.md", "Hours", "sha256:0", 100, 100 + len(HOURS), HOURS, 1.0)


def answer(*content: Json, **more: object) -> Json:
    told = {"type": "message", "id": "msg_1", "role": "assistant", "model": "claude-opus-5"}
    return {**told, "content": list(content), "stop_reason": "end_turn", **more}


def said(*citations: Json) -> Json:
    return {"type": "text", "text": "At nine.", "citations": list(citations)}


def found(quote: str) -> Json:
    place = {"search_result_index": 0, "start_block_index": 1, "end_block_index": 2}
    told = {"type": "search_result_location", "source": "hours.md", "title": "Hours"}
    return {**told, "cited_text": quote, **place}


def test_a_cited_passage_is_placed_in_what_was_retrieved() -> None:
    told = reply(answer(said(found("We open at 9. "))))

    event = reasoned(ASKED, told, elapsed_ms=1, passages=(PASSAGE,))

    assert told.parts == (Text("At nine.", (Citation("hours.md", "", 0, 0, "We open at 9."),)),)
    assert event.parts == (
        Text("At nine.", (Citation("hours.md", "sha256:0", 109, 122, "We open at 9."),)),
    )
    assert event.state is not None
    assert event.state.turn == [said(found("We open at 9. "))]


@pytest.mark.parametrize(
    ("citation", "document"),
    [
        ({"type": "web_search_result_location", "url": "https://a.example"}, "https://a.example"),
        ({"type": "char_location", "document_title": "A", "document_index": 1}, "A"),
        ({"type": "page_location", "document_title": None, "document_index": 1}, "document 1"),
    ],
)
def test_a_citation_names_its_document_as_well_as_it_can(citation: Json, document: str) -> None:
    told = reply(answer(said({**citation, "cited_text": "x"}, {**citation, "cited_text": " "})))

    assert told.parts == (Text("At nine.", (Citation(document, "", 0, 0, "x"),)),)


def test_what_anthropic_ran_is_one_part_with_its_outcome() -> None:
    call = {"type": "server_tool_use", "id": "srv_1", "name": "web_fetch", "input": {"url": "u"}}
    failed = {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"}
    outcome = {"type": "web_fetch_tool_result", "tool_use_id": "srv_1", "content": failed}

    told = reply(answer(call, outcome))

    assert told.parts == (HostedTool("web_fetch", "srv_1", {"url": "u"}, failed, "error"),)
    assert told.finish == "stop"


def test_an_outcome_of_an_earlier_turn_stands_by_itself() -> None:
    outcome = {"type": "web_search_tool_result", "tool_use_id": "srv_0", "content": []}

    assert reply(answer(outcome)).parts == (HostedTool("web_search", "srv_0", None, []),)


def test_a_block_that_nobody_knows_yet_is_kept() -> None:
    block = {"type": "daydream", "about": "the sea"}

    told = reply(answer(block, {"type": "container_upload", "file_id": "file_1"}))

    assert told.parts == (HostedTool("daydream"), FileRef("", url="file_1"))
    assert told.state is not None
    assert told.state.turn[0] == block


def test_a_call_makes_it_want_tools_whatever_its_word_was() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}

    assert [reply(answer(call, stop_reason=word)).finish for word in ("end_turn", None)] == [
        "tool_calls",
        "tool_calls",
    ]


def test_usage_is_inclusive_and_keeps_what_is_billed_otherwise() -> None:
    raw = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 1_000,
        "cache_creation": {"ephemeral_1h_input_tokens": 600, "ephemeral_5m_input_tokens": 400},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 30},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "batch",
    }

    told = reply(answer(usage=raw))

    usage = told.usage
    assert usage is not None
    assert (usage.input, usage.output) == (1_110, 50)
    assert (usage.cached, usage.cache_write, usage.cache_write_1h) == (100, 1_000, 600)
    assert (usage.thinking, usage.billed, usage.raw) == (30, {"web_search": 2.0}, raw)
    assert told.tier == "batch"


def test_what_is_not_told_is_not_nought() -> None:
    usage = reply(answer(usage={"output_tokens": 1})).usage

    assert usage is not None
    assert usage == replace(usage, input=None, cached=None, cache_write=None, thinking=None)
    assert reply(answer()).usage is None


def test_usage_of_another_shape_is_malformed() -> None:
    with pytest.raises(Malformed, match="input_tokens"):
        reply(answer(usage={"input_tokens": "many"}))


def test_a_later_count_of_a_stream_replaces_an_earlier_one_and_null_does_not() -> None:
    assembly = Assembly()
    for data in (
        '{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}',
        '{"type":"message_delta","delta":{},"usage":{"input_tokens":null,"output_tokens":7}}',
        '{"type":"message_delta","delta":{},"usage":{"output_tokens":9}}',
    ):
        assembly.take("", data)

    usage = assembly.usage
    assert usage is not None
    assert (usage.input, usage.output) == (5, 9)


def test_a_delta_that_nobody_knows_yet_is_merged_into_its_block() -> None:
    assembly = Assembly()
    for data in (
        '{"type":"message_start","message":{}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"dream","of":"the "}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"dream_delta","of":"sea"}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"dream_delta","deep":true}}',
        '{"type":"message_stop"}',
    ):
        assembly.take("", data)

    assert assembly.whole()["content"] == [{"type": "dream", "of": "the sea", "deep": True}]


def test_a_block_that_was_never_closed_is_closed_by_the_end() -> None:
    assembly = Assembly()
    for data in (
        '{"type":"message_start","message":{}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","input":{}}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"a\\":1}"}}',
        '{"type":"message_stop"}',
    ):
        assembly.take("", data)

    assert assembly.whole()["content"] == [{"type": "tool_use", "input": {"a": 1}}]
