"""The OpenAI Agents SDK with its SQLite session: history read and items added around each turn.

Not resumable within a turn: the session keeps the question, then the call together with its
result, then the answer; nothing takes an interrupted turn up again.
"""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    SQLiteSession,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from agents.items import TResponseInputItem, TResponseOutputItem
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from bench import conversation as script
from bench.peers.peer import Calls, Place, Store


class Instant(Model):
    """Answers at once from what the last item says."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_response(
        self, system_instructions: Any, input: str | list[Any], *args: Any, **kwargs: Any
    ) -> ModelResponse:
        self._calls.model += 1
        assert not isinstance(input, str)
        reply = _reply(input[-1])
        return ModelResponse(output=[reply], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("the bench does not stream")


@dataclass
class Talk:
    """The agent and one open session per conversation."""

    place: Place
    session_type: type[SQLiteSession]
    calls: Calls = field(default_factory=Calls)
    sessions: dict[int, SQLiteSession] = field(default_factory=dict)

    def __post_init__(self) -> None:
        @function_tool
        async def search(query: str) -> str:
            """Search the knowledge base; returns passages."""
            self.calls.tool += 1
            return script.found(*script.where(query))

        self._agent: Agent[None] = Agent(name="bench", model=Instant(self.calls), tools=[search])
        self._config = RunConfig(tracing_disabled=True)

    async def turn(self, conversation: int, turn: int) -> str:
        result = await Runner.run(
            self._agent,
            script.question(conversation, turn),
            session=self._session(conversation),
            run_config=self._config,
        )
        return str(result.final_output)

    async def texts(self, conversation: int, turns: int) -> list[str]:
        items = await self._session(conversation).get_items()
        return [text for item in items if (text := _text(item))]

    def _session(self, conversation: int) -> SQLiteSession:
        if conversation not in self.sessions:
            self.sessions[conversation] = self.session_type(
                str(conversation), self.place.folder / "agents.sqlite"
            )
        return self.sessions[conversation]


class Relaxed(SQLiteSession):
    """The session with `synchronous=NORMAL`, which in WAL survives a killed process."""

    @staticmethod
    def _configure_connection(conn: sqlite3.Connection) -> None:
        SQLiteSession._configure_connection(conn)
        conn.execute("PRAGMA synchronous=NORMAL")


@dataclass(frozen=True)
class OpenAIAgents:
    """Runner and one SQLiteSession per conversation on one file."""

    name: str = "openai-agents-sqlite"
    store: Store = "sqlite"
    durable: str = "messages only (a call is stored with its result; no turn is resumed)"
    arrangement: str = "one SQLiteSession per conversation kept open, WAL, tracing off"
    distributions: tuple[str, ...] = ("openai-agents",)

    @asynccontextmanager
    async def open(self, place: Place) -> AsyncIterator[Talk]:
        set_tracing_disabled(True)
        session_type = SQLiteSession if place.sync == "every" else Relaxed
        talk = Talk(place, session_type)
        try:
            yield talk
        finally:
            for session in talk.sessions.values():
                session.close()


PEERS = (OpenAIAgents(),)


def _reply(item: Any) -> TResponseOutputItem:
    if item.get("type") == "function_call_output":
        at = script.where(item["call_id"])
        text = ResponseOutputText(text=script.answer(*at), type="output_text", annotations=[])
        return ResponseOutputMessage(
            id=f"msg_{at[0]}_{at[1]}",
            content=[text],
            role="assistant",
            status="completed",
            type="message",
        )
    at = script.where(item["content"])
    return ResponseFunctionToolCall(
        arguments=json.dumps({"query": script.query(*at)}),
        call_id=script.call_id(*at),
        name=script.TOOL,
        type="function_call",
    )


def _text(item: TResponseInputItem) -> str:
    """The text of one stored item; a tool call has none."""
    match item:
        case {"type": "function_call_output", "output": str(found)}:
            return found
        case {"type": "message", "content": [{"text": str(answer)}]}:
            return answer
        case {"role": "user", "content": str(question)}:
            return question
        case _:
            return ""
