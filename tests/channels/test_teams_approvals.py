"""People agree in Teams to a call, and to no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.channels.teams.app import NOT_SO
from stepfold.events.event import ApprovalDenied, ApprovalGranted
from stepfold.providers.model import Call, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.tools.tool import FunctionTool
from tests.channels.teams_fake import ADA, BOB, Sent
from tests.channels.teams_world import CAREFUL, NAME, REFUND, Site, pays, site


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Site]:
    """A conversation in which a call waits for people."""
    model = ScriptedModel([Reply(calls=(Call("refund", {"order": "A-1"}),)), Reply("Done.")])
    agent = replace(CAREFUL, collections=())
    refund = FunctionTool(REFUND, pays)
    async with site(tmp_path, agent=agent, models={"scripted": model}, tools=[refund]) as made:
        await made.post(made.fake.says("Refund A-1"))
        await made.fake.until(lambda sent: bool(sent.card))
        yield made


def card(made: Site) -> dict[str, Any]:
    return next(sent.card for sent in made.fake.sent if sent.card)


async def test_who_is_no_approver_decides_nothing(made: Site) -> None:
    answer = await made.post(made.fake.presses(card(made), "Approve", who=ADA))

    assert answer.json()["type"] == "application/vnd.microsoft.activity.message"
    assert "not among those" in answer.json()["value"]
    assert "approval.granted" not in await made.kinds()


async def test_a_button_that_means_another_call_decides_nothing(made: Site) -> None:
    for forged in ({"digest": "sha256:0"}, {"call": "r9.9"}, {"about": "c1"}, {"about": "a.b >"}):
        pressed = made.fake.presses(card(made), "Approve")
        action = pressed["value"]["action"]
        action["data"] = {**action["data"], **forged}

        answer = await made.post(pressed)

        assert answer.json()["value"] == NOT_SO
    assert "approval.granted" not in await made.kinds()


async def test_the_same_button_twice_is_one_decision_and_shows_the_same(made: Site) -> None:
    pressed = made.fake.presses(card(made), "Approve")

    first, again = await made.post(pressed), await made.post(pressed)

    assert first.json() == again.json()
    granted = [e.event for e in await made.entries() if isinstance(e.event, ApprovalGranted)]
    assert [(each.person, each.comment) for each in granted] == [(BOB, "Bob")]
    await made.until_kind("response.delivered")


async def test_what_was_decided_is_shown_only_to_who_means_that_call(made: Site) -> None:
    pressed = made.fake.presses(card(made), "Approve")
    await made.post(pressed)
    action = pressed["value"]["action"]
    action["data"] = {**action["data"], "digest": "sha256:0"}

    answer = await made.post(pressed)

    assert answer.json()["value"] == NOT_SO
    await made.until_kind("response.delivered")


async def test_a_denial_is_told_and_the_tool_does_not_run(made: Site) -> None:
    answer = await made.post(made.fake.presses(card(made), "Deny"))
    await made.until_kind("response.delivered")

    kinds = await made.kinds()
    assert "Denied by" in str(answer.json()["value"])
    assert "tool.started" not in kinds
    denied = [e.event for e in await made.entries() if isinstance(e.event, ApprovalDenied)]
    assert [each.person for each in denied] == [BOB]


async def test_who_decides_elsewhere_is_shown_on_the_card(made: Site) -> None:
    (waiting,) = await made.found.approvals().waiting("acme", NAME)
    request = waiting.agreement.request
    key = ("acme", NAME)
    await made.found.approvals().grant(key, request.call, digest=request.digest, person="ops")

    def is_replaced(sent: Sent) -> bool:
        return sent.method == "PUT" and bool(sent.card)

    shown = await made.fake.until(is_replaced)
    assert "Approved by ops" in str(shown.card)
    assert "actions" not in shown.card


async def test_a_button_of_an_older_client_counts_too(made: Site) -> None:
    data = card(made)["actions"][0]["data"]
    bob = {"id": "29:bob", "name": "Bob", "aadObjectId": BOB}

    answer = await made.post(made.fake.says("", value=data, **{"from": bob}))
    await made.until_kind("response.delivered")

    assert (answer.status_code, answer.content) == (200, b"")
