"""Pydantic AI made durable by DBOS: one workflow a turn, the model and the search are its steps.

`DBOSDurability` is the capability that replaces the deprecated `DBOSAgent`. The plain peers carry
the history from turn to turn as the workflow's argument, as the documentation does, so DBOS stores
it again every turn. The `slim` peers store only what is new: history is read from the results of
the earlier workflows, which never change, through a cache in the process.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandleAsync
from pydantic_ai import Agent
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from bench import conversation as script
from bench.peers.peer import Calls, Place, Store

POOL = 16
# Given, so that FunctionModel does not count the words of the whole history at every call.
USAGE = RequestUsage(input_tokens=1, output_tokens=1)


@dataclass
class Talk:
    """The agent, its workflow, and the histories of this process."""

    carries: bool
    calls: Calls = field(default_factory=Calls)
    histories: dict[int, list[ModelMessage]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        @DBOS.step()
        async def search(query: str) -> str:
            """Search the knowledge base; returns passages."""
            self.calls.tool += 1
            return script.found(*script.where(query))

        agent = Agent(
            FunctionModel(self._reply),
            name="bench",
            capabilities=[DBOSDurability()],
            tools=[search],
        )

        @DBOS.workflow(name="carried")
        async def carried(question: str, history: list[ModelMessage]) -> list[ModelMessage]:
            return (await agent.run(question, message_history=history)).new_messages()

        @DBOS.workflow(name="slim")
        async def slim(conversation: int, turn: int) -> list[ModelMessage]:
            history = await self._history(conversation, turn - 1)
            question = script.question(conversation, turn)
            return (await agent.run(question, message_history=history)).new_messages()

        self._carried, self._slim = carried, slim

    async def turn(self, conversation: int, turn: int) -> str:
        history = self.histories.setdefault(conversation, [])
        with SetWorkflowID(_workflow(conversation, turn)):
            if self.carries:
                new = await self._carried(script.question(conversation, turn), history)
            else:
                new = await self._slim(conversation, turn)
        history.extend(new)
        return _said(new[-1:])[0]

    async def texts(self, conversation: int, turns: int) -> list[str]:
        return _said(await self._stored(conversation, turns))

    async def _history(self, conversation: int, turns: int) -> list[ModelMessage]:
        if conversation not in self.histories:
            self.histories[conversation] = await self._stored(conversation, turns)
        return self.histories[conversation]

    async def _stored(self, conversation: int, turns: int) -> list[ModelMessage]:
        messages: list[ModelMessage] = []
        for turn in range(1, turns + 1):
            done: WorkflowHandleAsync[list[ModelMessage]]
            done = await DBOS.retrieve_workflow_async(_workflow(conversation, turn))
            messages.extend(await done.get_result())
        return messages

    def _reply(self, messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        self.calls.model += 1
        match messages[-1].parts[-1]:
            case ToolReturnPart(tool_call_id=call):
                text = script.answer(*script.where(call))
                return ModelResponse(parts=[TextPart(text)], usage=USAGE)
            case UserPromptPart(content=str(question)):
                at = script.where(question)
                part = ToolCallPart(script.TOOL, {"query": script.query(*at)}, script.call_id(*at))
                return ModelResponse(parts=[part], usage=USAGE)
            case other:
                raise AssertionError(f"the instant model cannot answer {other!r}")


@dataclass(frozen=True)
class PydanticDbos:
    """One way to store the turns of Pydantic AI with DBOS."""

    name: str
    store: Store
    carries: bool
    arrangement: str
    durable: str = "every step (DBOS records each model request and each search)"
    distributions: tuple[str, ...] = ("pydantic-ai-slim", "dbos")

    @asynccontextmanager
    async def open(self, place: Place) -> AsyncIterator[Talk]:
        config: DBOSConfig = {
            "name": "bench",
            "application_version": "bench",
            "executor_id": f"bench-{place.worker}",
            "log_level": "ERROR",
            "enable_otlp": False,
            "use_listen_notify": False,
        }
        DBOS(config=config | self._database(place))
        talk = Talk(carries=self.carries)
        DBOS.launch()
        try:
            yield talk
        finally:
            DBOS.destroy()

    def _database(self, place: Place) -> DBOSConfig:
        if self.store == "postgres":
            return {"system_database_url": f"{place.postgres}_dbos", "sys_db_pool_size": POOL}
        url = f"sqlite:///{place.folder / 'dbos.sqlite'}"
        return {"system_database_url": url, "system_database_engine": _sqlite_engine(url, place)}


PEERS = (
    PydanticDbos(
        name="pydantic-dbos-sqlite",
        store="sqlite",
        carries=True,
        arrangement="workflow a turn, history as its argument, WAL",
    ),
    PydanticDbos(
        name="pydantic-dbos-postgres",
        store="postgres",
        carries=True,
        arrangement=f"workflow a turn, history as its argument, pool of {POOL}",
    ),
    PydanticDbos(
        name="pydantic-dbos-sqlite-slim",
        store="sqlite",
        carries=False,
        arrangement="workflow a turn, history cached in the process, WAL",
    ),
    PydanticDbos(
        name="pydantic-dbos-postgres-slim",
        store="postgres",
        carries=False,
        arrangement=f"workflow a turn, history cached in the process, pool of {POOL}",
    ),
)


def _sqlite_engine(url: str, place: Place) -> sqlalchemy.Engine:
    """DBOS's own engine, with the same immediate transactions, in WAL."""
    engine = sqlalchemy.create_engine(url, pool_size=POOL, max_overflow=0)
    synchronous = "FULL" if place.sync == "every" else "NORMAL"

    @sqlalchemy.event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            "busy_timeout=60000",
            "foreign_keys=ON",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _workflow(conversation: int, turn: int) -> str:
    return f"turn-{conversation}-{turn}"


def _said(messages: Sequence[ModelMessage]) -> list[str]:
    """The texts of the messages, as `bench.conversation.texts` gives them."""
    texts: list[str] = []
    for message in messages:
        assert isinstance(message, ModelRequest | ModelResponse)
        for part in message.parts:
            if isinstance(part, UserPromptPart | ToolReturnPart | TextPart):
                texts.append(str(part.content))
    return texts
