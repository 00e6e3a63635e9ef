"""What a response is asked for with: what is refused of it, and what it says. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from stepfold.gateway.histories import History, Line, history_of
from stepfold.gateway.openai_shared import (
    TOOLS,
    GivenPart,
    OpenAIRefused,
    Refused,
    check_extra,
    text_of,
    told_extra,
)

ITEMS_MAX = 2_000
REFUSED = {
    "tools": TOOLS,
    "tool_choice": TOOLS,
    "prompt": Refused("an agent has its own instructions"),
    "text": Refused(
        "an agent answers in text",
        tuple(
            {**format, **verbosity}
            for format in ({}, {"format": {"type": "text"}})
            for verbosity in ({}, *({"verbosity": each} for each in ("low", "medium", "high")))
        ),
    ),
}
IGNORED = frozenset(
    (
        "context_management",
        "include",
        "max_output_tokens",
        "max_tool_calls",
        "moderation",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "service_tier",
        "stream_options",
        "temperature",
        "top_logprobs",
        "top_p",
        "truncation",
    )
)
OWN = frozenset(("reasoning", "file_search_call", "mcp_call", "mcp_list_tools", "web_search_call"))
"""Items of an output that a client sends back: the log knows them."""
_WHO: dict[str, Literal["application", "contact", "agent"]] = {
    "system": "application",
    "developer": "application",
    "user": "contact",
    "assistant": "agent",
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class InputItem(_Open):
    type: Annotated[str, Field(json_schema_extra={"enum": ["message", *sorted(OWN)]})] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[GivenPart] | None = None


class ConversationGiven(_Open):
    id: Annotated[str, Field(min_length=1, max_length=128)]


class ResponsesBody(_Open):
    """Other parameters are ignored, or refused where that would change what is asked for."""

    model_config = ConfigDict(extra="allow", json_schema_extra=told_extra(REFUSED, IGNORED))

    model: Annotated[str, Field(max_length=128, description="An agent's name.")] = ""
    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[InputItem], Field(min_length=1, max_length=ITEMS_MAX)]
    )
    instructions: Annotated[str, Field(description="A note of the application.")] | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationGiven | None = None
    store: StrictBool | None = None
    stream: StrictBool | None = None
    background: StrictBool | None = None
    user: Annotated[str, Field(max_length=128, description="Who writes, by your name.")] | None = (
        None
    )
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    metadata: dict[str, str] | None = None


def check(body: ResponsesBody) -> None:
    """OpenAIRefused for what is not done."""
    check_extra(body, REFUSED, IGNORED)
    if body.previous_response_id and body.conversation:
        why = "previous_response_id and conversation say the same: give one of them"
        raise OpenAIRefused(why, "previous_response_id")
    if body.background and (body.stream or body.store is False):
        why = "a response in the background is stored, and asked for by its id: not streamed"
        raise OpenAIRefused(why, "background", "unsupported_parameter")


def input_history(body: ResponsesBody) -> History:
    """OpenAIRefused for items that are neither said by somebody nor our own output."""
    lines = [Line("application", body.instructions)] if body.instructions else []
    items = body.input if not isinstance(body.input, str) else []
    if isinstance(body.input, str):
        lines.append(Line("contact", body.input))
    for number, item in enumerate(items):
        where = f"input[{number}]"
        if item.type in OWN:
            continue
        if item.type != "message" or item.role is None:
            why = f"{where}: an item of type {item.type!r} cannot be sent here: the agent runs its"
            raise OpenAIRefused(f"{why} own tools", where, "unsupported_item")
        if text := text_of(item.content, f"{where}.content"):
            lines.append(Line(_WHO[item.role], text))
    try:
        return history_of(lines)
    except ValueError as error:
        raise OpenAIRefused(f"input: {error}", "input") from error
