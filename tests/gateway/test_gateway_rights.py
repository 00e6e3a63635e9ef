"""Who is let in where: a walk over the table of doors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from stepfold.gateway.doors import Door
from stepfold.gateway.limits import Limits, Rate
from stepfold.gateway.principal import ADMIN, APPROVE, CHAT, OPERATOR, READ, VISITOR
from stepfold.gateway.serving import Made
from stepfold.gateway.table import DOORS
from tests.gateway.house import House
from tests.waiting import eventually

PUBLIC = {"/", "/healthz", "/readyz", "/openapi.json", "/widget.js"}
OWN = [door for door in DOORS if "{conversation}" in door.path]
CLOSED = [door for door in DOORS if not door.public]
DIGEST = "sha256:" + "0" * 64
BODIES: dict[str, dict[str, Any]] = {
    "messages": {"text": "Hi"},
    "cancel": {},
    "feedback": {"turn": 1, "rating": "good"},
    "grant": {"digest": DIGEST, "person": "ada"},
    "deny": {"digest": DIGEST, "person": "ada"},
    "conversations": {"text": "Hi"},
    "visitors": {"contact": "ada"},
}


def name(door: Door) -> str:
    return f"{door.method} {door.path}"


async def ask(client: httpx2.AsyncClient, door: Door) -> httpx2.Response:
    path = re.sub(r"{\w+}", "c1", door.path.replace("{call}", "r1.1"))
    body = BODIES.get(door.path.rpartition("/")[2], {}) if door.method == "POST" else None
    request = client.build_request(door.method, path, json=body)
    response = await client.send(request, stream=True)
    try:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            await response.aread()
    finally:
        await response.aclose()
    return response


async def patient(home: House) -> House:
    """With a gateway that takes many wrong keys."""
    many = Rate(1_000, 1_000)
    home.url = await home.open_gateway(Made(limits=Limits(wrong=many)))
    return home


async def begin(home: House, customer: str = "acme", **more: str) -> None:
    client = await home.client(await home.key(customer))
    body = {"conversation": "c1", "text": "Hi", **more}
    assert (await client.post("/v1/conversations", json=body)).status_code == 201


def test_only_these_doors_need_no_key() -> None:
    assert {door.path for door in DOORS if door.public} == PUBLIC
    assert {door.method for door in DOORS if door.public} == {"GET"}


async def test_no_other_door_opens_without_a_good_key(home: House) -> None:
    expired = await home.key(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    wrong = (await home.key())[:-4] + "AAAA"
    answers = {}
    for shown in (
        "",
        "Bearer",
        f"Bearer {expired}",
        f"Bearer {wrong}",
        "Bearer sfv_AAAA",
        "Basic x",
    ):
        async with httpx2.AsyncClient(
            base_url=home.url, headers={"Authorization": shown}
        ) as client:
            for door in CLOSED:
                answers[shown[:12], name(door)] = (await ask(client, door)).status_code
                home.gateways[home.url].guard.limits._wrong._left.clear()

    assert set(answers.values()) == {401}, answers


async def test_another_customers_key_finds_no_conversation(home: House) -> None:
    await begin(home)
    before = await home.found.log.last()
    for scope in (CHAT, READ, APPROVE, ADMIN):
        other = await home.client(await home.key("other", (scope,)))

        answers = {name(door): await ask(other, door) for door in OWN}

        allowed = {404} if scope == ADMIN else {404, 403}
        assert {answer.status_code for answer in answers.values()} <= allowed, answers
        assert all("acme" not in answer.text for answer in answers.values())
    assert await home.found.log.last() == before


async def test_the_same_name_is_another_conversation_for_another_customer(home: House) -> None:
    await begin(home, "acme")
    await begin(home, "other")
    other = await home.client(await home.key("other"))

    said = (await other.get("/v1/conversations/c1/messages")).json()["messages"]
    listed = (await other.get("/v1/conversations")).json()["conversations"]

    assert len(said) == len(listed) == 1
    assert [entry.customer for entry in await home.found.log.read("other", "c1")] == ["other"] * 2


async def test_a_key_opens_what_its_scope_is_for_and_nothing_else(home: House) -> None:
    await begin(home)
    for scope in (CHAT, READ, APPROVE, OPERATOR):
        customer = "" if scope == OPERATOR else "acme"
        client = await home.client(await home.key(customer, (scope,)))

        refused = {name(door) for door in CLOSED if (await ask(client, door)).status_code == 403}

        assert refused == {name(door) for door in CLOSED if scope not in door.scopes}


async def test_an_admin_of_a_customer_is_no_operator(home: House) -> None:
    client = await home.client(await home.key(scopes=(ADMIN,)))

    answers = {name(door): (await ask(client, door)).status_code for door in CLOSED}

    assert [door for door, status in answers.items() if status == 403] == ["GET /metrics"]


async def test_an_operator_is_in_no_conversation(home: House) -> None:
    await begin(home)
    client = await home.client(await home.key("", (OPERATOR,)))

    metrics = await client.get("/metrics")

    assert 'stepfold_http_requests_total{method="POST",path="/v1/conversations"' in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")
    assert {(await ask(client, door)).status_code for door in OWN} == {403}


async def test_a_revoked_key_stops_in_every_process_within_two_seconds(home: House) -> None:
    key, shown = await home.keys.create("acme", (CHAT, READ))
    client = await home.client(shown)
    assert (await client.get("/v1/conversations")).status_code == 200

    await home.keys.revoke(key.id)

    async def refused() -> bool:
        return (await client.get("/v1/conversations")).status_code == 401

    await eventually(refused, 2.0)


# -- visitors -------------------------------------------------------------------------------------


async def visitor(home: House, contact: str = "ada", **more: Any) -> httpx2.AsyncClient:
    server = await home.client(await home.key(scopes=(CHAT,)))
    answer = await server.post("/v1/visitors", json={"contact": contact, **more})
    assert answer.status_code == 201, answer.text
    return await home.client(answer.json()["token"])


async def test_a_visitor_has_the_conversations_of_its_contact_and_no_other(home: House) -> None:
    ada, bob = await visitor(home, "ada"), await visitor(home, "bob")
    name = (await ada.post("/v1/conversations", json={"text": "Hi"})).json()["conversation"]

    path = f"/v1/conversations/{name}/messages"
    read, strange = await ada.get(path), await bob.get(path)
    said = await bob.post(path, json={"text": "x"})

    assert (read.status_code, strange.status_code, said.status_code) == (200, 404, 404)
    assert [each["contact"] for each in (await ada.get(path)).json()["messages"]] == ["ada"]


async def test_a_visitor_says_nothing_under_another_name(home: House) -> None:
    ada = await visitor(home, "ada")
    name = (await ada.post("/v1/conversations", json={"contact": "bob"})).json()["conversation"]

    said = await ada.post(f"/v1/conversations/{name}/messages", json={"text": "x", "contact": "b"})
    entries = await home.found.log.read("acme", name)

    assert said.status_code == 202
    assert {entry.event.contact for entry in entries} == {"ada"}  # type: ignore[union-attr]
    assert entries[0].event.channel == "widget"  # type: ignore[union-attr]


async def test_a_bound_visitor_has_one_conversation(home: House) -> None:
    await begin(home, contact="ada")
    other = await home.client()
    await other.post("/v1/conversations", json={"conversation": "c2", "contact": "ada"})
    ada = await visitor(home, "ada", conversation="c1")

    answers = [await ada.get(f"/v1/conversations/{each}") for each in ("c1", "c2")]

    assert [each.status_code for each in answers] == [200, 404]


async def test_a_visitor_opens_only_doors_for_visitors(home: House) -> None:
    many = Rate(1_000, 1_000)
    home.url = await home.open_gateway(Made(limits=Limits(visitor=many)))
    await begin(home, contact="ada")
    ada = await visitor(home, "ada")

    refused = {name(door) for door in CLOSED if (await ask(ada, door)).status_code == 403}

    assert refused == {name(door) for door in CLOSED if VISITOR not in door.scopes}


async def test_a_token_ends_with_its_time_with_its_key_or_when_it_is_changed(home: House) -> None:
    key, shown = await home.keys.create("acme", (CHAT,))
    server = await home.client(shown)
    token = (await server.post("/v1/visitors", json={"contact": "ada"})).json()["token"]
    ada, forged = await home.client(token), await home.client(token[:-5] + "AAAAA")
    visitors = home.gateways[home.url].guard.visitors
    assert visitors is not None
    assert (await ada.get("/v1/conversations/none")).status_code == 404
    assert (await forged.get("/v1/conversations/none")).status_code == 401

    await home.keys.revoke(key.id)

    async def refused() -> bool:
        return (await ada.get("/v1/conversations/none")).status_code == 401

    await eventually(refused, 2.0)
    assert visitors.claims(token, datetime.now(UTC) + timedelta(hours=1)) is None
    assert visitors.claims(token, datetime.now(UTC)) is not None
