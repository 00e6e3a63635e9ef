"""The view `approvals` says what the fold says, and code that ran is among the calls of tools."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.event import ApprovalGranted
from stepfold.projections.views import Views
from stepfold.testing import CUSTOMER, Arrangement
from tests.handlers.test_approvals import agent, asked


async def shown(arrangement: Arrangement, views: Views) -> dict[str, Any]:
    steps = [(s.position, s.subject, s.payload, s.at) for s in arrangement.log.steps]
    views.fold(steps)
    (row,) = views.query("SELECT * FROM approvals").table.to_pylist()
    return dict(row)


async def test_a_call_that_waits_is_shown_as_it_would_run(views: Views) -> None:
    arrangement = await asked(by=agent(expires_s=900.0))
    (waiting,) = await arrangement.waiting()

    row = await shown(arrangement, views)

    assert (row["status"], row["name"], row["granted_by"]) == ("waiting", "refund", [])
    assert row["arguments"] == '{"amount":80}'
    assert row["digest"] == waiting.agreement.request.digest
    assert row["expires_at"] == waiting.due.replace(tzinfo=None)
    assert row["reason"] == "'refund' needs approval always"


@pytest.mark.parametrize("status", ["waiting", "granted", "denied", "expired", "void"])
async def test_the_view_says_what_became_of_it(status: str, views: Views) -> None:
    arrangement = await asked(by=agent(people=2))
    (waiting,) = await arrangement.waiting()
    request = waiting.agreement.request
    key = (CUSTOMER, "c1")
    await arrangement.append("c1", ApprovalGranted(request.call, 1, "sha256:0", "eve"))
    await arrangement.approve("ann")
    if status == "granted":
        await arrangement.approve("bob")
    if status == "denied":
        await arrangement.approvals.deny(key, request.call, digest=request.digest, person="bob")
    if status == "void":
        await arrangement.cancel()
    await arrangement.run_to_rest(past_approvals=status == "expired")

    row = await shown(arrangement, views)

    assert row["status"] == status
    assert row["granted_by"] == (["ann", "bob"] if status == "granted" else ["ann"])
    assert row["denied_by"] == ("bob" if status == "denied" else None)
