"""What each span says, whole: a receiver reads these names, and no others of `gen_ai.usage.`."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stepfold.events.event import (
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
)
from stepfold.events.values import Options, Repair, Spend, Text, Thinking, ToolCall, Usage
from stepfold.observability import names, said
from stepfold.observability.span import Attributes, Span
from stepfold.observability.spans import spans
from tests.observability.made import ASKED, BEGIN, DIGEST, TRACEPARENT, WHOLE, recorded

EVERYWHERE: Attributes = {
    "session.id": "acme/c1",
    "gen_ai.conversation.id": "acme/c1",
    "user.id": "acme/ada",
    "stepfold.customer": "acme",
    "stepfold.turn": 1,
}
QUESTION = "When does my refund come?"
SHOWN: Attributes = {
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": QUESTION,
    "input.value": f'[{{"role":"user","content":"{QUESTION}"}}]',
    "input.mime_type": "application/json",
}


@pytest.fixture(scope="module")
def whole() -> tuple[Span, ...]:
    return spans(recorded(WHOLE))


def test_a_turn(whole: tuple[Span, ...]) -> None:
    assert whole[0].attributes == EVERYWHERE | {
        "openinference.span.kind": "AGENT",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "help-desk",
        "gen_ai.agent.id": DIGEST,
        "input.value": QUESTION,
        "output.value": "In three days.",
        "langfuse.trace.name": "invoke_agent help-desk",
        "langfuse.release": DIGEST,
        "stepfold.outcome": "answered",
    }


def test_a_turn_below_a_caller_says_for_langfuse_what_went_in_and_came_out() -> None:
    root = spans(recorded(WHOLE, trace=TRACEPARENT))[0]

    assert root.attributes["langfuse.trace.input"] == QUESTION
    assert root.attributes["langfuse.trace.output"] == "In three days."


def test_a_failed_attempt(whole: tuple[Span, ...]) -> None:
    assert whole[1].attributes == EVERYWHERE | SHOWN | {
        "openinference.span.kind": "LLM",
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.temperature": 0.5,
        "llm.provider": "openai",
        "llm.model_name": "gpt-x",
        "llm.invocation_parameters": '{"temperature":0.5}',
        "stepfold.call": "r1",
        "stepfold.attempt": 1,
        "stepfold.task": "converse",
        "stepfold.route": "converse",
        "stepfold.choice": "the first that fits",
        "error.type": "rate_limit",
    }


def test_a_models_answer_with_its_calls_its_usage_and_its_cost(whole: tuple[Span, ...]) -> None:
    call = "llm.output_messages.0.message.tool_calls"

    assert whole[2].attributes == EVERYWHERE | SHOWN | {
        "openinference.span.kind": "LLM",
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "anthropic",
        "gen_ai.request.model": "claude-y",
        "gen_ai.response.model": "claude-y-2026",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 50,
        "llm.provider": "anthropic",
        "llm.model_name": "claude-y-2026",
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 50,
        "llm.token_count.total": 1050,
        "llm.token_count.prompt_details.cache_read": 600,
        "llm.token_count.prompt_details.cache_write": 100,
        "llm.token_count.completion_details.reasoning": 20,
        "llm.cost.total": 0.0123,
        "llm.output_messages.0.message.role": "assistant",
        f"{call}.0.tool_call.id": "r2.1",
        f"{call}.0.tool_call.function.name": "find",
        f"{call}.0.tool_call.function.arguments": '{"order":7}',
        f"{call}.1.tool_call.id": "r2.2",
        f"{call}.1.tool_call.function.name": "search",
        f"{call}.1.tool_call.function.arguments": '{"query":"refund"}',
        "output.value": '[{"name":"find","arguments":{"order":7}},'
        '{"name":"search","arguments":{"query":"refund"}}]',
        "output.mime_type": "application/json",
        "langfuse.observation.usage_details": '{"input":300,"input_cached_tokens":600,'
        '"input_cache_creation":100,"output":30,"output_reasoning_tokens":20,"total":1050}',
        "langfuse.observation.cost_details": '{"total":0.0123}',
        "langfuse.observation.completion_start_time": "2026-03-01T09:00:05.500000+00:00",
        "stepfold.call": "r2",
        "stepfold.attempt": 2,
        "stepfold.task": "converse",
    }


def test_a_tool(whole: tuple[Span, ...]) -> None:
    assert whole[3].attributes == EVERYWHERE | {
        "openinference.span.kind": "TOOL",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "find",
        "gen_ai.tool.call.id": "r2.1",
        "tool.name": "find",
        "tool.parameters": '{"order":7}',
        "input.value": '{"order":7}',
        "input.mime_type": "application/json",
        "output.value": '{"state":"paid"}',
        "output.mime_type": "application/json",
        "stepfold.call": "r2.1",
    }


def test_a_search_with_its_documents(whole: tuple[Span, ...]) -> None:
    assert whole[4].attributes == EVERYWHERE | {
        "openinference.span.kind": "RETRIEVER",
        "gen_ai.operation.name": "retrieval",
        "input.value": "refund",
        "retrieval.documents.0.document.id": "refunds.md",
        "retrieval.documents.0.document.content": "It takes three days.",
        "retrieval.documents.0.document.score": 2.5,
        "retrieval.documents.0.document.metadata": '{"title":"Refunds",'
        f'"digest":"{DIGEST}","start":10,"end":30}}',
        "stepfold.call": "r2.2",
    }


def test_what_a_search_bought(whole: tuple[Span, ...]) -> None:
    rerank, embed = whole[5:7]

    assert rerank.attributes == EVERYWHERE | {
        "openinference.span.kind": "RERANKER",
        "gen_ai.system": "cohere",
        "gen_ai.request.model": "rerank-v3",
        "llm.provider": "cohere",
        "llm.model_name": "rerank-v3",
        "reranker.model_name": "rerank-v3",
        "stepfold.unpriced": True,
    }
    assert embed.attributes == EVERYWHERE | {
        "openinference.span.kind": "EMBEDDING",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "embed-s",
        "gen_ai.usage.input_tokens": 8,
        "llm.provider": "openai",
        "llm.model_name": "embed-s",
        "llm.token_count.prompt": 8,
        "llm.cost.total": 1.6e-07,
        "embedding.model_name": "embed-s",
        "langfuse.observation.usage_details": '{"input":8,"total":8}',
        "langfuse.observation.cost_details": '{"total":1.6E-7}',
    }


def test_the_next_ask_says_only_what_its_model_had_not_been_shown(whole: tuple[Span, ...]) -> None:
    said_of_it = whole[7].attributes

    shown = {name: value for name, value in said_of_it.items() if name.startswith("llm.input")}
    assert shown == {
        "llm.input_messages.0.message.role": "tool",
        "llm.input_messages.0.message.content": '{"state":"paid"}',
        "llm.input_messages.0.message.name": "find",
        "llm.input_messages.1.message.role": "tool",
        "llm.input_messages.1.message.content": "Refunds: It takes three days.",
        "llm.input_messages.1.message.name": "search",
    }


def test_a_shadow_is_shown_what_the_ask_beside_it_was(whole: tuple[Span, ...]) -> None:
    shadow = whole[8].attributes

    assert shadow["stepfold.shadow"] is True
    assert SHOWN.items() <= shadow.items()


# -- money --------------------------------------------------------------------------------------


def test_usage_and_cost_stand_on_paid_calls_only(whole: tuple[Span, ...]) -> None:
    paid = ("gen_ai.usage.", "llm.token_count", "llm.cost", "langfuse.observation")

    for span in whole:
        if span.attributes[names.KIND] in ("AGENT", "TOOL", "RETRIEVER"):
            assert not [name for name in span.attributes if name.startswith(paid)]


def test_langfuse_finds_no_usage_that_it_would_add(whole: tuple[Span, ...]) -> None:
    found = {name for s in whole for name in s.attributes if name.startswith("gen_ai.usage.")}

    assert found == {names.INPUT_TOKENS, names.OUTPUT_TOKENS}


def paid(usage: Usage | None, cost: Decimal | None) -> Attributes:
    return said.paid(Spend("embed", "a/b", usage=usage, cost_usd=cost), "a/b")


@pytest.mark.parametrize("cost", [None, Decimal("NaN"), Decimal("Infinity")])
def test_a_price_that_is_not_known_is_said_so_and_is_no_number(cost: Decimal | None) -> None:
    told = paid(Usage(10, 2), cost)

    assert told[names.UNPRICED] is True
    assert not {names.LLM_COST, names.LANGFUSE_COST} & told.keys()


def test_a_failure_without_usage_and_cost_says_nothing_of_money() -> None:
    assert said.paid(ReasonFailed("r1", 1, "a/b", "rate_limit"), "a/b") == {}


def test_a_cost_is_exact_where_a_receiver_takes_it_as_text() -> None:
    told = paid(None, Decimal("0.000000000123456789012"))

    assert told[names.LANGFUSE_COST] == '{"total":1.23456789012E-10}'


def test_pieces_of_usage_sum_to_the_total_even_when_a_provider_counts_strangely() -> None:
    told = paid(Usage(10, 2, cached=12, thinking=5), Decimal(0))

    assert told[names.LANGFUSE_USAGE] == (
        '{"input_cached_tokens":10,"output_reasoning_tokens":2,"total":12}'
    )


# -- what was said ------------------------------------------------------------------------------


def test_an_answers_thinking_is_not_told() -> None:
    answer = Reasoned("r1", 1, "m", (Thinking("hm"), Text("Yes."), ToolCall("r1.1", "find", {})))

    told = said.model_call(ASKED, answer, (), BEGIN)

    assert told[names.OUTPUT] == "Yes."
    assert "hm" not in map(str, told.values())


def test_json_that_had_to_be_cut_is_told_as_text() -> None:
    told = said.output({"text": "x" * 20_000})

    assert names.OUTPUT_TYPE not in told


# -- generations --------------------------------------------------------------------------------

REQUEST = GenerationRequested(
    "g1", "classify", {"text": "Hi"}, {"type": "object"}, "openai/gpt-x", options=Options()
)
MALFORMED = GenerationFailed(
    "g1", "malformed", "gpt-x", "not JSON", Usage(9, 1), Decimal("0.1"), output="Greeting!"
)
MEND = GenerationRequested(
    *("g1.2", "classify", {"text": "Hi"}, {"type": "object"}, "openai/gpt-x"),
    job="g1",
    attempt=2,
    repair=Repair("Greeting!", "not JSON"),
)
DONE = Generated("g1.2", {"label": "greeting"}, "gpt-x-1", Usage(12, 3), Decimal("0.2"))


def generation(*events: Event) -> tuple[Span, ...]:
    return spans(recorded(events))


def test_a_generation_is_a_job_with_a_span_for_each_attempt() -> None:
    job, first, second = generation(REQUEST, MALFORMED, MEND, DONE)

    assert job.attributes == {
        "session.id": "acme/c1",
        "gen_ai.conversation.id": "acme/c1",
        "openinference.span.kind": "CHAIN",
        "input.value": '{"text":"Hi"}',
        "input.mime_type": "application/json",
        "output.value": '{"label":"greeting"}',
        "output.mime_type": "application/json",
        "langfuse.trace.name": "generate classify",
        "stepfold.customer": "acme",
        "stepfold.task": "classify",
        "stepfold.outcome": "generated",
    }
    assert (first.parent, second.parent) == (job.id, job.id)
    assert (first.error, first.attributes["output.value"]) == ("malformed: not JSON", "Greeting!")
    assert (second.error, second.attributes["llm.cost.total"]) == ("", 0.2)
    assert second.attributes["stepfold.attempt"] == 2


def test_a_generation_that_nobody_gave_is_an_error() -> None:
    job, _ = generation(REQUEST, MALFORMED, GenerationAbandoned("g1", "malformed", "gpt-x"))

    assert job.error == "malformed: gpt-x"
    assert job.attributes["stepfold.outcome"] == "abandoned"


def test_a_generation_that_has_not_ended_tells_nothing() -> None:
    assert generation(REQUEST, MALFORMED, MEND) == ()
