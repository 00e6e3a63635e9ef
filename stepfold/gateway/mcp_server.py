"""Our agents as an MCP server: the tools `ask`, `search_knowledge` and `conversation`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from mcp.server import Server, ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepfold import __version__
from stepfold.events.traces import caller
from stepfold.events.values import Passage
from stepfold.gateway.mcp_desk import Answered, Desk, DeskRefused, Told, Watch

QUESTION_CHARS_MAX = 20_000
PASSAGES_MAX = 20
log = logging.getLogger("stepfold.mcp")

Context = ServerRequestContext[Any, Any]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Ask(_Given):
    question: Annotated[str, Field(min_length=1, max_length=QUESTION_CHARS_MAX)]
    conversation: Annotated[
        str, Field(max_length=128, description="One that an earlier answer named; empty: a new one")
    ] = ""


class Search(_Given):
    query: Annotated[str, Field(min_length=1, max_length=QUESTION_CHARS_MAX)]
    passages: Annotated[int, Field(ge=1, le=PASSAGES_MAX)] = 5


class Show(_Given):
    id: Annotated[str, Field(min_length=1, max_length=128, description="The conversation's name")]


class Found(Struct, frozen=True):
    passages: tuple[Passage, ...]


Run = Callable[[Desk, Any, str, Watch], Awaitable[Struct]]


class Offer(Struct, frozen=True):
    """A tool: what it is given, what it returns, and how it does it."""

    description: str
    given: type[_Given]
    returned: type[Struct]
    run: Run


async def _ask(desk: Desk, given: Ask, trace: str, watch: Watch) -> Answered:
    return await desk.ask(given.question, given.conversation, trace, watch)


async def _search(desk: Desk, given: Search, trace: str, watch: Watch) -> Found:
    return Found(tuple(await desk.search(given.query, given.passages)))


async def _show(desk: Desk, given: Show, trace: str, watch: Watch) -> Told:
    return await desk.conversation(given.id)


OFFERS = {
    "ask": Offer(
        "Ask the agent. It answers with citations: quotes of the documents that it rests on.",
        Ask,
        Answered,
        _ask,
    ),
    "search_knowledge": Offer(
        "Search the agent's documents for passages, best first.", Search, Found, _search
    ),
    "conversation": Offer(
        "What was said in a conversation, and whether it is being answered.", Show, Told, _show
    ),
}
READS = ("search_knowledge", "conversation")


Expected = Callable[[Exception], str | None]
"""What to tell of an error that may happen; None when nobody expected it: then it is logged."""


def mcp_server(desk: Desk, expected: Expected) -> Server[Any]:
    """A server that stands for the customer of `desk`."""

    async def list_tools(ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(name, each) for name, each in OFFERS.items()])

    async def call_tool(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        steps = 0

        async def watch(kind: str) -> None:
            nonlocal steps
            steps += 1
            await ctx.session.report_progress(steps, message=kind)

        trace = str((ctx.meta or {}).get("traceparent", ""))
        return await _called(desk, expected, params, trace if caller(trace) else "", watch)

    return Server(
        "stepfold",
        version=__version__,
        instructions=f"Ask the agent {desk.agent.name!r} of {desk.customer!r}.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _tool(name: str, offer: Offer) -> Tool:
    (returned,), shapes = msgspec.json.schema_components(
        (offer.returned,), ref_template="#/$defs/{name}"
    )
    schema = {**shapes.pop(returned["$ref"].rpartition("/")[2]), "$defs": shapes}
    return Tool(
        name=name,
        description=offer.description,
        input_schema=offer.given.model_json_schema(),
        output_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=name in READS, destructive_hint=False, open_world_hint=False
        ),
    )


async def _called(
    desk: Desk, expected: Expected, params: CallToolRequestParams, trace: str, watch: Watch
) -> CallToolResult:
    offer = OFFERS.get(params.name)
    if offer is None:
        return _refused(f"there is no tool {params.name!r} (known: {', '.join(OFFERS)})")
    try:
        given = offer.given.model_validate(params.arguments or {})
        result = await offer.run(desk, given, trace, watch)
    except ValidationError as error:
        return _refused("; ".join(_mistake(each) for each in error.errors()))
    except DeskRefused as error:
        return _refused(str(error))
    except Exception as error:
        why = expected(error)
        if why is None:
            log.exception("the tool %s failed", params.name)
        return _refused(why or "it failed; the log of the server says how")
    told = msgspec.to_builtins(result)
    text = TextContent(type="text", text=msgspec.json.encode(result).decode())
    return CallToolResult(content=[text], structured_content=told)


def _mistake(error: Any) -> str:
    return f"{'.'.join(map(str, error['loc'])) or 'arguments'}: {error['msg']}"


def _refused(why: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=why)], is_error=True)
