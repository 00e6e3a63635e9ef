"""What the spans say, attribute by attribute. Pure.

Usage and cost stand on the spans of paid calls only: who sums over a trace counts them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.events.event import (
    CodeRequested,
    Generated,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolOutcome,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
)
from stepfold.events.transcript import Thought
from stepfold.events.values import Options, Part, Passage, Refusal, Spend, Text, Usage
from stepfold.observability import names
from stepfold.observability.span import Attributes, cut
from stepfold.observability.unpriced import Paid, unpriced

ModelRequest = ReasonRequested | GenerationRequested
ModelOutcome = Reasoned | ReasonFailed | Generated | GenerationFailed

_encoder = msgspec.json.Encoder(decimal_format="number")


class Message(Struct, frozen=True):
    """What a model is shown: by `user`, or by `tool`, whose `name` it then has."""

    role: str
    content: str
    name: str = ""


def json(value: Any) -> str:
    return _encoder.encode(value).decode()


def text(value: Any) -> str:
    return value if isinstance(value, str) else json(value)


def at_provider(model: str) -> str:
    """A model's name without its provider's in front."""
    return model.partition("/")[2] or model


# -- turns and jobs -----------------------------------------------------------------------------


def turn_begins(agent: str, digest: str, heard: Sequence[str]) -> Attributes:
    said: Attributes = {
        names.KIND: "AGENT",
        names.OPERATION: names.INVOKE_AGENT,
        names.LANGFUSE_NAME: f"{names.INVOKE_AGENT} {agent}".strip(),
    }
    if agent:
        said |= {names.AGENT_NAME: agent, names.AGENT_ID: digest, names.LANGFUSE_RELEASE: digest}
    return said | hears(heard)


def hears(texts: Sequence[str]) -> Attributes:
    """What a turn answers: all that it was told."""
    return {names.INPUT: cut("\n\n".join(texts))} if texts else {}


def ends(outcome: str, *, answer: str = "", reason: str = "") -> Attributes:
    said: Attributes = {names.OUTCOME: outcome}
    if answer:
        said[names.OUTPUT] = cut(answer)
    if reason:
        said[names.REASON] = cut(reason)
    return said


def remote(said: Attributes) -> Attributes:
    """Langfuse takes a trace's input and output from a span without a parent only."""
    pairs = ((names.INPUT, names.LANGFUSE_INPUT), (names.OUTPUT, names.LANGFUSE_OUTPUT))
    return {theirs: said[ours] for ours, theirs in pairs if ours in said}


def job_begins(request: GenerationRequested) -> Attributes:
    return {
        names.KIND: "CHAIN",
        names.LANGFUSE_NAME: f"generate {request.task}",
        names.TASK: request.task,
    } | _input(request.input)


# -- model calls --------------------------------------------------------------------------------


def model_call(
    request: ModelRequest, outcome: ModelOutcome, shown: Sequence[Message], at: datetime
) -> Attributes:
    """`shown` is what the model had not been shown before; the outcome was recorded `at`."""
    said: Attributes = {
        names.KIND: "LLM",
        names.OPERATION: names.CHAT,
        names.REQUEST_MODEL: at_provider(request.model),
        names.CALL: request.call,
        names.ATTEMPT: request.attempt,
        names.TASK: request.task,
    }
    answered = outcome.model if isinstance(outcome, Reasoned | Generated) else request.model
    said |= _provider(outcome.provider or _prefix(request.model), at_provider(answered))
    said |= _asked(request) | _answered(outcome)
    said |= paid(outcome, request.model)
    if shown:
        said |= _messages(names.LLM_INPUT, shown) | _input([_plain(each) for each in shown])
    if isinstance(outcome, Reasoned) and outcome.first_ms:
        first_at = at - timedelta(milliseconds=outcome.elapsed_ms - outcome.first_ms)
        said[names.LANGFUSE_FIRST] = first_at.isoformat()
    return said


def _prefix(model: str) -> str:
    return model.partition("/")[0] if "/" in model else ""


def _provider(provider: str, model: str) -> Attributes:
    said: Attributes = {names.LLM_MODEL: model}
    if provider:
        said |= {names.SYSTEM: _SYSTEMS.get(provider, provider), names.LLM_PROVIDER: provider}
    return said


_SYSTEMS = {"google": "gcp.gemini"}
"""What the GenAI names call a provider that we call something else."""


def _asked(request: ModelRequest) -> Attributes:
    said: Attributes = {}
    if request.options is not None:
        said |= _options(request.options)
    if request.choice is not None:
        said |= {names.ROUTE: request.choice.route, names.CHOICE: request.choice.why}
    if isinstance(request, ReasonRequested) and request.shadow:
        said[names.SHADOW] = True
    return said


def _options(options: Options) -> Attributes:
    said: Attributes = {}
    if options.temperature is not None:
        said[names.REQUEST_TEMPERATURE] = options.temperature
    if options.output_tokens_max is not None:
        said[names.REQUEST_MAX_TOKENS] = options.output_tokens_max
    form = msgspec.to_builtins(options)
    return said | {names.LLM_PARAMETERS: json(form)} if form else said


def _answered(outcome: ModelOutcome) -> Attributes:
    match outcome:
        case Reasoned():
            return {names.FINISH_REASONS: (outcome.finish,)} | _response(outcome) | _said(outcome)
        case Generated():
            return _response(outcome) | output(outcome.output)
        case GenerationFailed():
            said: Attributes = {names.ERROR_TYPE: outcome.reason}
            return said | ({names.OUTPUT: cut(outcome.output)} if outcome.output else {})
        case ReasonFailed():
            return {names.ERROR_TYPE: outcome.reason}


def _response(outcome: Reasoned | Generated) -> Attributes:
    said: Attributes = {names.RESPONSE_MODEL: outcome.model}
    return said | ({names.RESPONSE_ID: outcome.response} if outcome.response else {})


def _said(outcome: Reasoned) -> Attributes:
    """The model's turn as one message, and plainly: its text, or its calls when it has none."""
    thought = Thought(outcome.parts)
    spoken = "".join(_spoken(outcome.parts))
    said: Attributes = {names.message(names.LLM_OUTPUT, 0, "role"): "assistant"}
    if spoken:
        said[names.message(names.LLM_OUTPUT, 0, "content")] = cut(spoken)
    for number, call in enumerate(thought.calls):
        for field, value in (
            ("id", call.call),
            ("function.name", call.name),
            ("function.arguments", cut(json(call.arguments))),
        ):
            said[names.tool_call(names.LLM_OUTPUT, 0, number, field)] = value
    if spoken or not thought.calls:
        return said | {names.OUTPUT: cut(spoken)}
    return said | output(
        [{"name": call.name, "arguments": call.arguments} for call in thought.calls]
    )


def _spoken(parts: Iterable[Part]) -> Iterable[str]:
    return (part.text for part in parts if isinstance(part, Text | Refusal))


def _messages(prefix: str, messages: Sequence[Message]) -> Attributes:
    said: Attributes = {}
    for number, message in enumerate(messages):
        for field, value in _plain(message).items():
            said[names.message(prefix, number, field)] = cut(value)
    return said


def _plain(message: Message) -> dict[str, str]:
    form = {"role": message.role, "content": message.content}
    return form | ({"name": message.name} if message.name else {})


# -- money --------------------------------------------------------------------------------------


def paid(bought: Paid, model: str) -> Attributes:
    """A price that is not known is said to be so, and is no number."""
    said = _usage(bought.usage) if bought.usage is not None else {}
    cost_usd = bought.cost_usd
    if cost_usd is not None and cost_usd.is_finite():
        return said | {
            names.LLM_COST: float(cost_usd),
            names.LANGFUSE_COST: json({"total": cost_usd}),
        }
    return said | {names.UNPRICED: True} if unpriced(bought, model) else said


def _usage(usage: Usage) -> Attributes:
    counts = (
        (names.INPUT_TOKENS, usage.input),
        (names.OUTPUT_TOKENS, usage.output),
        (names.TOKENS_IN, usage.input),
        (names.TOKENS_OUT, usage.output),
        (names.TOKENS_CACHED, usage.cached),
        (names.TOKENS_CACHE_WRITE, usage.cache_write),
        (names.TOKENS_THINKING, usage.thinking),
    )
    said: Attributes = {name: number for name, number in counts if number is not None}
    if usage.input is not None and usage.output is not None:
        said[names.TOKENS] = usage.input + usage.output
    return said | {names.LANGFUSE_USAGE: json(_pieces(usage))} if said else said


def _pieces(usage: Usage) -> dict[str, int]:
    """Langfuse sums all that it is told: pieces that do not overlap, and their total."""
    input_, output_ = usage.input or 0, usage.output or 0
    cached = min(usage.cached or 0, input_)
    written = min(usage.cache_write or 0, input_ - cached)
    thought = min(usage.thinking or 0, output_)
    pieces = {
        "input": input_ - cached - written,
        "input_cached_tokens": cached,
        "input_cache_creation": written,
        "output": output_ - thought,
        "output_reasoning_tokens": thought,
        "total": input_ + output_,
    }
    return {name: number for name, number in pieces.items() if number}


def spend(bought: Spend) -> Attributes:
    """A paid call beside the models' turns."""
    model, embeds = at_provider(bought.model), bought.what == "embed"
    said: Attributes = {
        names.KIND: "EMBEDDING" if embeds else "RERANKER",
        names.REQUEST_MODEL: model,
        names.EMBEDDING_MODEL if embeds else names.RERANKER_MODEL: model,
    }
    if embeds:
        said[names.OPERATION] = names.EMBEDDINGS
    provider = bought.provider or _prefix(bought.model)
    return said | _provider(provider, model) | paid(bought, bought.model)


# -- tools and searches -------------------------------------------------------------------------


def tool(request: ToolRequested | CodeRequested | ToolRefused, outcome: ToolOutcome) -> Attributes:
    said: Attributes = {
        names.KIND: "TOOL",
        names.OPERATION: names.EXECUTE_TOOL,
        names.TOOL_NAME: request.name,
        names.OI_TOOL_NAME: request.name,
        names.TOOL_CALL: request.call,
        names.CALL: request.call,
    }
    if isinstance(request, ToolRequested | CodeRequested):
        said |= _input(request.arguments)
        said[names.OI_TOOL_PARAMETERS] = said[names.INPUT]
    if isinstance(outcome, ToolReturned):
        return said | output(outcome.result)
    return said | {names.ERROR_TYPE: _TOOL_ERRORS.get(type(outcome), "failed")}


_TOOL_ERRORS: dict[type, str] = {
    ToolFailed: "failed",
    ToolRefused: "refused",
    ToolUnknown: "unknown",
}


def search(request: RetrievalRequested, outcome: ToolOutcome) -> Attributes:
    said: Attributes = {
        names.KIND: "RETRIEVER",
        names.OPERATION: names.RETRIEVAL,
        names.INPUT: cut(request.query),
        names.CALL: request.call,
    }
    if not isinstance(outcome, RetrievalReturned):
        return said | {names.ERROR_TYPE: "failed"}
    for number, passage in enumerate(outcome.passages):
        said |= _document(number, passage)
    return said


def _document(number: int, passage: Passage) -> Attributes:
    about = {
        "title": passage.title,
        "digest": passage.digest,
        "start": passage.start,
        "end": passage.end,
    }
    return {
        names.document(number, "id"): passage.document,
        names.document(number, "content"): cut(passage.text),
        names.document(number, "score"): passage.score,
        names.document(number, "metadata"): json(about),
    }


def result(outcome: ToolOutcome) -> str:
    """What a model is shown of it."""
    match outcome:
        case ToolReturned():
            return text(outcome.result)
        case RetrievalReturned():
            return "\n\n".join(f"{each.title}: {each.text}" for each in outcome.passages)
        case _:
            return outcome.reason


def _input(value: Any) -> Attributes:
    return _value(value, names.INPUT, names.INPUT_TYPE)


def output(value: Any) -> Attributes:
    return _value(value, names.OUTPUT, names.OUTPUT_TYPE)


def _value(value: Any, name: str, type_name: str) -> Attributes:
    """Text as it is, anything else as JSON; JSON that had to be cut is none."""
    whole = text(value)
    told: Attributes = {name: cut(whole)}
    is_json = not isinstance(value, str) and told[name] == whole
    return told | {type_name: names.JSON_TYPE} if is_json else told
