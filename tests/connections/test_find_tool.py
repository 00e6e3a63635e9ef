"""`find_tool` and `use_tool` reach the enabled reads of their connection, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepfold.events.event import ToolRefused, ToolReturned
from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Reply
from stepfold.testing import run_to_rest
from stepfold.tools.openapi import load_connections
from stepfold.tools.openapi.search import Search
from stepfold.tools.tool import Tool, ToolError
from tests.connections.loopback import Answer, answering
from tests.connections.small import described, read
from tests.connections.test_connection_files import written


def named(tools: Any, name: str) -> Tool:
    found: Tool = next(tool for tool in tools if tool.spec.name == name)
    return found


@pytest.fixture
def tools(tmp_path: Path) -> Any:
    written(tmp_path, 'reads = ["*"]\nwrites = ["AddThing"]\nown = ["ListPeople"]\n')
    return load_connections(tmp_path, environment={})


async def test_what_is_found_has_its_schema(tools: Any) -> None:
    told = await named(tools, "shop_find_tool").run({"phrase": "show one thing"}, call="c1")

    assert told["found"][0] == {
        "name": "ShowThing",
        "description": "GET /things/{id}",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "additionalProperties": False,
        },
    }


async def test_neither_writes_nor_what_is_kept_to_its_own_name_is_found(tools: Any) -> None:
    told = await named(tools, "shop_find_tool").run({"phrase": "things people add"}, call="c1")

    assert {each["name"] for each in told["found"]} <= {"ListThings", "ShowThing"}


@pytest.mark.parametrize("name", ["AddThing", "SearchThings", "ListPeople", "shop_AddThing", "x"])
async def test_only_what_can_be_found_can_be_used(tools: Any, name: str) -> None:
    with pytest.raises(ToolError, match="cannot be called here"):
        await named(tools, "shop_use_tool").run({"name": name, "arguments": {}}, call="c1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "'id' is a required property"),
        ({"id": 5}, "id: 5 is not of type 'string'"),
        ({"id": "1", "host": "evil.example"}, "Additional properties are not allowed"),
    ],
)
async def test_arguments_are_held_against_the_operation_that_is_called(
    tools: Any, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ToolError) as refused:
        await named(tools, "shop_use_tool").run(
            {"name": "ShowThing", "arguments": arguments}, call="c1"
        )

    assert says in str(refused.value)


async def test_an_agent_finds_uses_and_is_refused_the_write(tmp_path: Path) -> None:
    with answering(lambda asked: Answer(200, {"thing": asked.target})) as server:
        written(
            tmp_path,
            f'server = "{server.url}"\nreads = ["*"]\nwrites = ["AddThing"]\n'
            f'[reach]\nprivate = ["127.0.0.1:{server.port}"]\n',
        )
        agent = Agent("desk", models=("scripted",), tools=("shop_find_tool", "shop_use_tool"))
        asked = Call("shop_use_tool", {"name": "ShowThing", "arguments": {"id": "7"}})
        forbidden = Call("shop_AddThing", {})

        rest = await run_to_rest(
            agent,
            "Show me thing 7",
            replies=[
                Reply(calls=(Call("shop_find_tool", {"phrase": "show a thing"}),)),
                Reply(calls=(asked, forbidden)),
                Reply(text="There."),
            ],
            tools=load_connections(tmp_path, environment={}),
        )

    assert [asked.target for asked in server.asked] == ["/things/7"]
    returned = [event.result for event in rest.events if isinstance(event, ToolReturned)]
    assert returned[-1] == {"thing": "/things/7"}
    assert [event.name for event in rest.events if isinstance(event, ToolRefused)] == [
        "shop_AddThing"
    ]
    assert rest.answer == "There."


def test_a_phrase_without_a_known_word_finds_nothing() -> None:
    made, _ = read(described({"/a": {"get": {"operationId": "ListThings"}}}))

    assert Search(made.operations).find("zzz qqq", 5) == ()
    assert Search(made.operations).find("", 5) == ()
    assert Search(()).find("things", 5) == ()


def test_a_customer_is_not_custom() -> None:
    paths = {
        "/fields": {"get": {"operationId": "ListCustomFields", "summary": "Custom fields"}},
        "/customers": {"get": {"operationId": "ListCustomers", "summary": "All customers"}},
    }
    made, _ = read(described(paths))

    (best, *_) = Search(made.operations).find("a customer", 2)

    assert best.name == "ListCustomers"
