"""LangGraph with one thread per conversation, in the three ways that its documentation gives.

`graph` is a StateGraph over a list of messages: each checkpoint holds the whole list. `delta` is
the same graph over a DeltaChannel (beta), whose checkpoints hold what was added. `func` is the
functional API: a task per step, and the list once a turn. The instant model is called straight
from the node, without a chat model's wrapping: faster, and fair to LangGraph.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import aiosqlite
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from bench import conversation as script
from bench.peers.peer import Calls, Place, Store

Way = Literal["graph", "delta", "func"]

# "sync" stores each step before the next one starts; in the best of five runs each "async" was not
# faster for the graphs. Within an entrypoint it orders nothing: tasks are stored while others run.
DURABILITY: Literal["sync"] = "sync"
POOL = 16
BUSY_S = 60.0


def added(messages: list[AnyMessage], writes: Sequence[list[AnyMessage]]) -> list[AnyMessage]:
    """Append only; the order of batches does not matter to the result, as DeltaChannel asks."""
    return [*messages, *(message for write in writes for message in write)]


class GraphState(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class DeltaState(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(added)]


class Instant:
    """The instant model and the instant tool, which count themselves."""

    def __init__(self) -> None:
        self.calls = Calls()

    def reason(self, messages: Sequence[AnyMessage]) -> AIMessage:
        self.calls.model += 1
        last = messages[-1]
        if isinstance(last, ToolMessage):
            return AIMessage(script.answer(*script.where(last.tool_call_id)))
        at = script.where(str(last.content))
        arguments = {"query": script.query(*at)}
        call = ToolCall(name=script.TOOL, args=arguments, id=script.call_id(*at))
        return AIMessage("", tool_calls=[call])

    def search(self, call: ToolCall) -> ToolMessage:
        self.calls.tool += 1
        found = script.found(*script.where(call["args"]["query"]))
        return ToolMessage(found, tool_call_id=call["id"])


class GraphTalk(Instant):
    """A StateGraph of two nodes; typing their argument would fix the channel's kind."""

    def __init__(self, saver: BaseCheckpointSaver[Any], state: type) -> None:
        super().__init__()
        graph: StateGraph[Any] = StateGraph(state)
        graph.add_node("reason", self._reason)
        graph.add_node("search", self._search)
        graph.add_edge(START, "reason")
        graph.add_conditional_edges("reason", _next, ["search", END])
        graph.add_edge("search", "reason")
        self._graph = graph.compile(checkpointer=saver)

    async def turn(self, conversation: int, turn: int) -> str:
        question = HumanMessage(script.question(conversation, turn))
        state = await self._graph.ainvoke(
            {"messages": [question]}, _thread(conversation), durability=DURABILITY
        )
        return str(state["messages"][-1].content)

    async def texts(self, conversation: int, turns: int) -> list[str]:
        state = await self._graph.aget_state(_thread(conversation))
        return _said(state.values["messages"])

    async def _reason(self, state: Any) -> dict[str, list[AnyMessage]]:
        return {"messages": [self.reason(state["messages"])]}

    async def _search(self, state: Any) -> dict[str, list[AnyMessage]]:
        return {"messages": [self.search(call) for call in state["messages"][-1].tool_calls]}


class FuncTalk(Instant):
    """An entrypoint that saves the messages, with a task for each step."""

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        super().__init__()
        self._saver = saver

        @task
        async def reason(messages: list[AnyMessage]) -> AIMessage:
            return self.reason(messages)

        @task
        async def search(call: ToolCall) -> ToolMessage:
            return self.search(call)

        @entrypoint(checkpointer=saver)
        async def agent(question: str, *, previous: list[AnyMessage] | None = None) -> Any:
            messages: list[AnyMessage] = [*(previous or ()), HumanMessage(question)]
            while True:
                reply = await reason(messages)
                messages.append(reply)
                if not reply.tool_calls:
                    return entrypoint.final(value=reply.content, save=messages)
                messages.extend(await asyncio.gather(*map(search, reply.tool_calls)))

        self._agent = agent

    async def turn(self, conversation: int, turn: int) -> str:
        question = script.question(conversation, turn)
        thread = _thread(conversation)
        return str(await self._agent.ainvoke(question, thread, durability=DURABILITY))

    async def texts(self, conversation: int, turns: int) -> list[str]:
        checkpoint = await self._saver.aget(_thread(conversation))
        assert checkpoint is not None, f"no checkpoint of conversation {conversation}"
        return _said(checkpoint["channel_values"]["__previous__"])


@dataclass(frozen=True)
class LangGraph:
    """One way of LangGraph on one saver."""

    name: str
    store: Store
    way: Way
    arrangement: str
    durable: str
    distributions: tuple[str, ...]

    @asynccontextmanager
    async def open(self, place: Place) -> AsyncIterator[GraphTalk | FuncTalk]:
        async with _saver(self.store, place) as saver:
            match self.way:
                case "graph":
                    yield GraphTalk(saver, GraphState)
                case "delta":
                    yield GraphTalk(saver, DeltaState)
                case "func":
                    yield FuncTalk(saver)


def _saver(store: Store, place: Place) -> AbstractAsyncContextManager[BaseCheckpointSaver[Any]]:
    match store:
        case "sqlite":
            return _sqlite(place)
        case "postgres":
            return _postgres(place)
        case "memory":
            return _memory()


@asynccontextmanager
async def _sqlite(place: Place) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    synchronous = "FULL" if place.sync == "every" else "NORMAL"
    async with aiosqlite.connect(place.folder / "langgraph.sqlite", timeout=BUSY_S) as connection:
        await connection.execute(f"PRAGMA synchronous={synchronous}")
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        yield saver


@asynccontextmanager
async def _postgres(place: Place) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    # The three settings are those of AsyncPostgresSaver.from_conn_string, which has no pool.
    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool[AsyncConnection[DictRow]](
        place.postgres, min_size=POOL, max_size=POOL, kwargs=settings
    ) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        yield saver


@asynccontextmanager
async def _memory() -> AsyncIterator[BaseCheckpointSaver[Any]]:
    yield InMemorySaver()


def _next(state: Any) -> str:
    return "search" if state["messages"][-1].tool_calls else END


def _thread(conversation: int) -> RunnableConfig:
    return {"configurable": {"thread_id": str(conversation)}}


def _said(messages: Sequence[AnyMessage]) -> list[str]:
    return [str(message.content) for message in messages if message.content]


def _peer(name: str, store: Store, way: Way) -> LangGraph:
    ways = {
        "graph": "StateGraph, list of messages",
        "delta": "StateGraph, DeltaChannel (beta)",
        "func": "functional API, a task per step",
    }
    stores = {
        "sqlite": "AsyncSqliteSaver, WAL",
        "postgres": f"AsyncPostgresSaver, pool of {POOL}",
        "memory": "InMemorySaver",
    }
    kept = {
        "graph": f"every step (durability={DURABILITY!r}: stored before the next starts)",
        "delta": f"every step (durability={DURABILITY!r}: stored before the next starts)",
        "func": "every step, late (stored while the next runs, so a crash may repeat one)",
    }
    saver = () if store == "memory" else (f"langgraph-checkpoint-{store}",)
    return LangGraph(
        name=name,
        store=store,
        way=way,
        arrangement=f"{ways[way]}; {stores[store]}",
        durable="nothing (orientation only)" if store == "memory" else kept[way],
        distributions=("langgraph", *saver),
    )


PEERS = (
    _peer("langgraph-sqlite", "sqlite", "graph"),
    _peer("langgraph-sqlite-delta", "sqlite", "delta"),
    _peer("langgraph-sqlite-func", "sqlite", "func"),
    _peer("langgraph-postgres", "postgres", "graph"),
    _peer("langgraph-postgres-delta", "postgres", "delta"),
    _peer("langgraph-postgres-func", "postgres", "func"),
    _peer("langgraph-memory", "memory", "func"),
)
