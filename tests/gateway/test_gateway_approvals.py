"""Calls that wait for people: listed, granted, denied, and only for those who may."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from stepfold.events.event import ApprovalDenied, ApprovalGranted, ToolReturned
from stepfold.gateway.asking import QUERIES
from stepfold.gateway.principal import APPROVE, READ
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.model import Call, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.streams import ask
from stepfold.streams.ask import AskRefused
from stepfold.testing import CUSTOMER
from stepfold.tools.function import tool
from tests.gateway.house import House, heard
from tests.waiting import eventually

PATH = "/v1/conversations/c1"
REFUND = Agent(
    "help-desk",
    models=("scripted",),
    tools=("refund",),
    grants={"refund": Grant(approval=Approval())},
)


@tool(effect="write")
def refund(euros: int) -> str:
    """Pay money back."""
    return f"{euros} euros are on their way"


async def wait(home: House) -> httpx2.AsyncClient:
    """A conversation in which a refund waits for somebody."""
    replies = (Reply(calls=(Call("refund", {"euros": 40}),)), Reply(text="Done."))
    await home.work(REFUND, models={"scripted": ScriptedModel(replies)}, tools=(refund,))
    client = await home.client(await home.key(CUSTOMER))
    await client.post("/v1/conversations", json={"conversation": "c1", "text": "My money!"})

    async def waits() -> bool:
        return bool((await client.get(PATH)).json()["standing"] == "waiting")

    await eventually(waits)
    return client


async def waiting(client: httpx2.AsyncClient) -> dict[str, Any]:
    (found,) = (await client.get(f"{PATH}/approvals")).json()["approvals"]
    return dict(found)


async def test_what_waits_is_shown_as_it_would_run_and_runs_when_granted(home: House) -> None:
    client = await wait(home)
    found = await waiting(client)

    path = f"{PATH}/approvals/{found['call']}/grant"
    granted = await client.post(path, json={"digest": found["digest"], "person": "eve"})
    await heard(client, f"{PATH}/events?until=rest")
    events = [entry.event for entry in await home.found.log.read(CUSTOMER, "c1")]

    assert (found["name"], found["arguments"]) == ("refund", {"euros": 40})
    assert granted.status_code == 200
    assert [each.person for each in events if isinstance(each, ApprovalGranted)] == ["eve"]
    assert [each.result for each in events if isinstance(each, ToolReturned)]
    assert (await client.get(f"{PATH}/approvals")).json() == {"approvals": []}


@pytest.mark.parametrize(("what", "kind"), [("grant", ApprovalGranted), ("deny", ApprovalDenied)])
async def test_the_key_that_vouches_for_a_person_is_recorded_beside_the_name(
    home: House, what: str, kind: type
) -> None:
    await wait(home)
    key, shown = await home.keys.create(CUSTOMER, (READ, APPROVE))
    client = await home.client(shown)
    found = await waiting(client)

    path = f"{PATH}/approvals/{found['call']}/{what}"
    await client.post(path, json={"digest": found["digest"], "person": "eve"})
    entries = await home.found.log.read(CUSTOMER, "c1")

    assert [entry.by for entry in entries if isinstance(entry.event, kind)] == [f"key:{key.id}"]


async def test_a_grant_of_another_call_is_refused_and_nothing_runs(home: House) -> None:
    client = await wait(home)
    found = await waiting(client)
    other = "sha256:" + "0" * 64

    path = f"{PATH}/approvals/{found['call']}/grant"
    refused = await client.post(path, json={"digest": other, "person": "eve"})
    before = await home.found.log.last()
    denied = await client.post(
        f"{PATH}/approvals/{found['call']}/deny", json={"digest": found["digest"], "person": "eve"}
    )
    await heard(client, f"{PATH}/events?until=rest")
    events = [entry.event for entry in await home.found.log.read(CUSTOMER, "c1")]

    assert refused.status_code == 409
    assert denied.json()["position"] == before + 1
    assert not [each for each in events if isinstance(each, ToolReturned)]


async def test_all_that_waits_for_a_customer_is_listed_and_for_no_other(home: House) -> None:
    await home.view()
    client = await wait(home)
    found = await waiting(client)
    other = await home.client(await home.key("other"))

    async def listed() -> Any:
        return (await client.get("/v1/approvals")).json()["approvals"]

    (row,) = await eventually(listed)

    assert row == found
    assert (await other.get("/v1/approvals")).json() == {"approvals": []}


async def test_without_views_the_list_says_who_keeps_them(home: House) -> None:
    client = await home.client()

    refused = await client.get("/v1/approvals")

    assert refused.status_code == 503
    assert "stepfold serve" in refused.json()["detail"]


async def test_what_the_views_say_against_a_question_of_ours_is_told_to_nobody(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(question: bytes) -> bytes:
        raise AskRefused("IO Error: /srv/secret/views.duckdb is broken")

    client = await home.client()
    async with ask.serve(home.found.client, QUERIES, refuse):
        refused = await client.get("/v1/approvals")

    assert (refused.status_code, refused.json()["title"]) == (503, "Views unavailable")
    assert "secret" not in refused.text
    assert "secret" in caplog.text


async def test_a_contact_sees_that_it_waits_but_not_for_what(home: House) -> None:
    await wait(home)
    talks = await home.client(await home.key(CUSTOMER, ("chat",)))

    steps = (await talks.get(f"{PATH}/steps")).json()["steps"]

    (asked,) = [each["event"] for each in steps if each["kind"] == "approval.requested"]
    assert set(asked) == {"type", "call", "turn", "name", "expires_s"}
