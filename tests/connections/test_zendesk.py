"""Zendesk, from its description: connected, listed, three reads and one write enabled, used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from stepfold.events.event import ReasonRequested, ToolFailed, ToolRefused, ToolReturned
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Grant
from stepfold.providers.model import Call, Reply
from stepfold.testing import run_to_rest
from stepfold.tools.openapi import (
    Catalogue,
    catalogue,
    load_connections,
    read_description,
)
from stepfold.tools.openapi.find_tool import FOUND_MAX, FindTool
from stepfold.tools.openapi.making import Wanted, keep
from stepfold.tools.openapi.search import Search
from tests.connections.loopback import Loopback, answering
from tests.connections.zendesk import SPEC, LookAlike, document, needs_zendesk
from tests.connections.zendesk_phrasings import FRESH, HELD_OUT, PHRASINGS

pytestmark = needs_zendesk

READS = ("ListTickets", "ShowTicket", "ListTicketComments")
WRITE = "CreateTicket"
AGENT = Agent(
    "desk",
    models=("scripted",),
    tools=("zendesk_find_tool", "zendesk_use_tool", "zendesk_CreateTicket"),
)
TICKET = {"ticket": {"subject": "Printer", "comment": {"body": "It is on fire."}}}
ENVIRONMENT = {"ZENDESK_USER": "bot@acme.example/token", "ZENDESK_TOKEN": "zen-1"}


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return catalogue(read_description(SPEC))


@pytest.fixture
def look_alike() -> LookAlike:
    return LookAlike()


@pytest.fixture
def server(look_alike: LookAlike) -> Iterator[Loopback]:
    with answering(look_alike) as server:
        yield server


@pytest.fixture
def tools(known: Catalogue, server: Loopback, tmp_path: Path) -> Any:
    made = Wanted(
        name="zendesk",
        catalogue=known,
        reads=READS,
        writes=(WRITE,),
        server=server.url,
        auth="basic:ZENDESK_USER:ZENDESK_TOKEN",
        private=(f"127.0.0.1:{server.port}",),
        key_header="Idempotency-Key",
    ).make(ENVIRONMENT)
    assert made.open == ()
    keep(made, tmp_path)
    return load_connections(tmp_path, environment=ENVIRONMENT)


def test_every_operation_is_listed_and_none_is_skipped(known: Catalogue) -> None:
    told = [each["operationId"] for each in operations()]

    assert list(known.names()) == [name for name in told if name in known.names()]
    assert len(known.operations) == len(told) == 439
    assert known.skipped == ()


def operations() -> list[dict[str, Any]]:
    methods = ("get", "head", "post", "put", "patch", "delete")
    return [
        item[method]
        for item in document()["paths"].values()
        for method in methods
        if method in item
    ]


def test_every_schema_is_one_and_whole_in_itself(known: Catalogue) -> None:
    for operation in known.operations:
        Draft202012Validator.check_schema(operation.parameters)
        assert "$ref" not in str(operation.parameters)


def test_a_model_is_shown_few_tokens(known: Catalogue) -> None:
    made = Wanted(name="zendesk", catalogue=known, reads=("*",), writes=(WRITE,)).make()

    assert made.tokens["file"] > 250_000
    assert made.tokens["all"] < 60_000
    assert made.tokens["found"] < 2_500


# -- conversations ------------------------------------------------------------------------------


async def test_a_conversation_reads_and_writes_what_the_description_allows(
    tools: Any, look_alike: LookAlike, server: Loopback
) -> None:
    agent = replace(AGENT, grants={"zendesk_CreateTicket": Grant(safe=True)})

    rest = await run_to_rest(
        agent,
        "My printer is on fire, and what became of ticket 35436?",
        replies=[
            Reply(calls=(Call("zendesk_find_tool", {"phrase": "comments of a ticket"}),)),
            Reply(
                calls=(
                    use("ListTickets", external_id="ab c&d"),
                    use("ShowTicket", ticket_id=35436),
                    use("ListTicketComments", ticket_id=35436),
                )
            ),
            Reply(calls=(Call("zendesk_CreateTicket", {"body": TICKET}),)),
            Reply(text="I opened a ticket."),
        ],
        tools=tools,
    )

    assert [event for event in rest.events if isinstance(event, ToolRefused)] == []
    assert look_alike.wrong == []
    assert look_alike.served == [*READS, WRITE]
    assert [type(event) for event in rest.events if isinstance(event, ToolFailed)] == []
    assert sum(isinstance(event, ToolReturned) for event in rest.events) == 5
    assert rest.answer == "I opened a ticket."
    assert server.asked[-1].headers["idempotency-key"].startswith("acme/c1/")
    assert "zen-1" not in str(rest.events)


async def test_a_write_after_a_strangers_text_waits_for_people(
    tools: Any, look_alike: LookAlike
) -> None:
    rest = await run_to_rest(
        AGENT,
        "What became of ticket 35436?",
        replies=[
            Reply(calls=(use("ListTicketComments", ticket_id=35436),)),
            Reply(calls=(Call("zendesk_CreateTicket", {"body": TICKET}),)),
        ],
        tools=tools,
    )

    assert rest.kinds[-1] == "approval.requested"
    assert look_alike.served == ["ListTicketComments"]


def use(name: str, **arguments: Any) -> Call:
    return Call("zendesk_use_tool", {"name": name, "arguments": arguments})


async def test_what_does_not_fit_and_what_is_not_enabled_reaches_no_server(
    tools: Any, server: Loopback
) -> None:
    own = tuple(f"zendesk_{name}" for name in (*READS, WRITE))
    wrong = (
        Call("zendesk_ShowTicket", {"ticket_id": "../users"}),
        Call("zendesk_ShowTicket", {"ticket_id": 1, "host": "evil.example"}),
        Call("zendesk_DeleteTicket", {"ticket_id": 1}),
        Call("zendesk_CreateTicket", {"body": {"ticket": {"subject": 7}}}),
    )

    rest = await run_to_rest(
        Agent("desk", models=("scripted",), tools=own),
        "Hello",
        replies=[Reply(calls=wrong), Reply(text="No.")],
        tools=tools,
    )

    assert len([event for event in rest.events if isinstance(event, ToolRefused)]) == 4
    assert server.asked == []
    (first, *_) = [event for event in rest.events if isinstance(event, ReasonRequested)]
    assert first.tools == own


async def test_the_look_alike_notices_what_is_not_described(
    look_alike: LookAlike, server: Loopback, known: Catalogue, tmp_path: Path
) -> None:
    from stepfold.tools.guard import client

    headers = {"Content-Type": "application/json"}
    body = b'{"ticket": {"comment": "no object"}}'
    async with client(server.reach) as http:
        for method, path, sent in (
            ("GET", "/api/v2/nothing", None),
            ("GET", "/api/v2/tickets?unknown=1", None),
            ("GET", "/api/v2/tickets/abc", None),
            ("POST", "/api/v2/tickets", body),
        ):
            response = await http.request(method, server.url + path, headers=headers, content=sent)
            assert response.status_code in (400, 404), path

    assert len(look_alike.wrong) == 4


# -- finding ------------------------------------------------------------------------------------


def found(search: Search, phrasings: Any) -> tuple[int, int]:
    """How many have a right operation among the first five, and in the first place."""
    told = [(search.find(phrase, FOUND_MAX), right) for phrase, right in phrasings]
    among = sum(any(each.name in right for each in best) for best, right in told)
    return among, sum(best[0].name in right for best, right in told if best)


def test_the_right_operation_is_among_the_first_five(known: Catalogue) -> None:
    among, first = found(Search(known.operations), PHRASINGS)

    assert len(PHRASINGS) == 30
    assert among >= 27
    assert first >= 15


def test_of_wants_that_were_written_after_the_search_it_finds_most(known: Catalogue) -> None:
    before, _ = found(Search(known.operations), HELD_OUT)
    fresh, _ = found(Search(known.operations), FRESH)

    assert before >= 16
    assert fresh >= 17


def test_every_phrasing_names_operations_that_exist(known: Catalogue) -> None:
    named = {name for _, right in (*PHRASINGS, *HELD_OUT, *FRESH) for name in right}

    assert named <= set(known.names())


async def test_what_is_found_costs_a_model_little(known: Catalogue) -> None:
    tool = FindTool("zendesk", known.title, known.operations)

    told = await tool.run({"phrase": "which macros can I use right now"}, call="c1")

    assert len(told["found"]) == FOUND_MAX
    assert len(str(told)) < 10_000
