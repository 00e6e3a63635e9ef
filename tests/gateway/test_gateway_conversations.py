"""A conversation over HTTP: begun, said, heard, read, cancelled."""

from __future__ import annotations

import pytest

from stepfold.app import HELP_DESK
from stepfold.events.event import ConversationStarted
from stepfold.gateway.principal import CHAT
from tests.gateway.house import SLOW, House, Slow, heard, screen

QUESTION = "What does the Team plan cost?"


async def test_a_question_is_answered_with_citations(home: House) -> None:
    await home.work()
    client = await home.client()

    begun = await client.post("/v1/conversations", json={"text": QUESTION, "contact": "ada"})
    told = await heard(client, begun.json()["events"])
    said = (await client.get(f"/v1/conversations/{begun.json()['conversation']}/messages")).json()

    assert begun.status_code == 201
    assert begun.headers["location"] == begun.json()["events"]
    assert told[-1].kind == "rest"
    assert told[-2].kind == "response.given"
    assert [each["role"] for each in said["messages"]] == ["contact", "agent"]
    assert said["messages"][1]["citations"][0]["document"] == "plans-and-prices.md"
    assert screen(told)


async def test_a_conversation_can_be_begun_before_anything_is_said(home: House) -> None:
    client = await home.client()

    begun = (await client.post("/v1/conversations", json={"conversation": "ticket-1"})).json()
    shown = (await client.get("/v1/conversations/ticket-1")).json()

    assert begun["conversation"] == "ticket-1"
    assert (shown["standing"], shown["agent"], shown["turns"]) == ("rest", "help-desk", 0)


@pytest.mark.parametrize("text", ["", "   "])
async def test_a_conversation_is_not_begun_with_a_text_that_says_nothing(
    home: House, text: str
) -> None:
    client = await home.client()

    refused = await client.post("/v1/conversations", json={"conversation": "c1", "text": text})

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("text: ")
    assert await home.found.log.read("acme", "c1") == []


async def test_conversations_are_listed_a_page_at_a_time(home: House) -> None:
    client = await home.client()
    for number in range(3):
        await client.post("/v1/conversations", json={"conversation": f"c{number}", "text": "Hi"})

    first = (await client.get("/v1/conversations?limit=2")).json()
    rest = (await client.get(f"/v1/conversations?limit=2&after={first['next']}")).json()

    assert [each["conversation"] for each in first["conversations"]] == ["c0", "c1"]
    assert [each["conversation"] for each in rest["conversations"]] == ["c2"]
    assert rest["next"] is None


async def test_a_running_turn_is_cancelled_once(home: House) -> None:
    model = Slow("never")
    await home.work(SLOW, models={"slow": model})
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1", "text": "Hi"})
    await model.asked.wait()

    cancelled = await client.post("/v1/conversations/c1/cancel", json={"reason": "enough"})
    again = await client.post("/v1/conversations/c1/cancel", json={"reason": "enough"})
    said = (await client.get("/v1/conversations/c1/messages")).json()["messages"]

    assert (cancelled.status_code, again.status_code) == (202, 409)
    assert said[-1]["why"] == "enough"


async def test_the_traceparent_of_the_caller_goes_along(home: House) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    client = await home.client(traceparent=parent)

    await client.post("/v1/conversations", json={"conversation": "c1", "text": "Hi"})

    assert [entry.trace for entry in await home.found.log.read("acme", "c1")] == ["", parent]


async def test_an_agent_that_is_not_appointed_is_refused_by_name(home: House) -> None:
    client = await home.client()

    refused = await client.post("/v1/conversations", json={"text": "Hi", "agent": "nobody"})

    assert refused.status_code == 404
    assert "known: help-desk" in refused.json()["detail"]


async def test_what_was_begun_is_found_again_whoever_is_appointed_meanwhile(home: House) -> None:
    body, key = {"text": "Hi", "agent": "help-desk"}, {"Idempotency-Key": "b-1"}
    await home.found.agents.appoint(HELP_DESK)
    shown = await home.key()
    client = await home.client(shown)
    begun = await client.post("/v1/conversations", json=body, headers=key)
    await home.found.agents.appoint(SLOW)
    other = await home.client(shown, url=await home.open_gateway())

    again = await other.post("/v1/conversations", json=body, headers=key)
    strange = await other.post("/v1/conversations", json={"agent": "help-desk"})

    assert (again.status_code, again.json()) == (201, begun.json())
    assert strange.status_code == 404


async def test_a_token_bound_to_anothers_conversation_begins_nothing_there(home: House) -> None:
    server = await home.client(await home.key(scopes=(CHAT,)))
    begun = {"conversation": "c1", "contact": "ada"}
    assert (await server.post("/v1/conversations", json=begun)).status_code == 201
    vouched = await server.post("/v1/visitors", json={"contact": "bob", "conversation": "c1"})
    bob = await home.client(vouched.json()["token"], url=await home.open_gateway())

    for _ in range(2):
        refused = await bob.post("/v1/conversations", json={"text": "Hi"})

        assert (refused.status_code, refused.json()["title"]) == (404, "No such conversation")
        assert "ada" not in refused.text
    (entry,) = await home.found.log.read("acme", "c1")
    assert isinstance(entry.event, ConversationStarted)


DOORS_OF_ONE = {
    "GET /v1/conversations/c1": None,
    "GET /v1/conversations/c1/messages": None,
    "GET /v1/conversations/c1/events": None,
    "POST /v1/conversations/c1/messages": {"text": "Hi again"},
    "POST /v1/conversations/c1/feedback": {"turn": 1, "rating": "good"},
}


@pytest.mark.parametrize("door", DOORS_OF_ONE)
async def test_a_conversation_that_was_purged_is_not_there_any_more(home: House, door: str) -> None:
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1", "text": "Hi"})
    await home.found.client.jetstream().purge_stream("steps", subject="steps.acme.c1.>")
    method, path = door.split()

    told = await client.request(method, path, json=DOORS_OF_ONE[door])

    assert (told.status_code, told.json()["title"]) == (404, "No such conversation")
