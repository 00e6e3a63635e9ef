"""Agents and their versions: what each is told, may use, and may do with it."""

from __future__ import annotations

from starlette.responses import Response

from stepfold.gateway.asking import Row
from stepfold.gateway.dashboard.page import Visit, nothing_here
from stepfold.gateway.dashboard.queries import SEARCHED_STEPS
from stepfold.gateway.dashboard.tables import Table, exported, table
from stepfold.gateway.refusals import refusing
from stepfold.policy.agent import Answers, digest, offered
from stepfold.policy.grant import Grant


async def look(visit: Visit) -> Response:
    asked = {"searched": await _searched(visit)}
    if found := await exported(visit, {"agents": asked}):
        return found
    used = await table(visit, "agents", **asked)
    with refusing():
        appointed = await visit.front.found.appointed()
    now = digest(appointed)
    return visit.page(
        "agents.html",
        versions=_with_appointed(used, now, appointed.name),
        table=used,
        appointed=now,
        searched=SEARCHED_STEPS,
    )


def _with_appointed(used: Table, now: str, name: str) -> list[Row]:
    """The one of new conversations stands first, even before it has any."""
    fresh: Row = {
        "agent": name, "digest": now, "conversations": 0, "first_at": None, "last_at": None,
    }  # fmt: skip
    mine = [row for row in used.rows if row["digest"] == now]
    return [*(mine or [fresh]), *(row for row in used.rows if row["digest"] != now)]


async def version(visit: Visit) -> Response:
    """One that a conversation of the customer has, or that new ones get."""
    wanted = visit.named("digest")
    rows = await visit.rows("agents", searched=await _searched(visit))
    with refusing():
        now = digest(await visit.front.found.appointed())
    mine = next((row for row in rows if row["digest"] == wanted), None)
    if mine is None and wanted != now and not visit.session.operator:
        raise nothing_here()
    agent = await visit.front.agent(wanted)
    if agent is None:
        raise nothing_here()
    tools = [
        (name, agent.grants.get(name, Grant()), name in agent.grants) for name in offered(agent)
    ]
    return visit.page(
        "agent.html",
        agent=agent,
        digest=wanted,
        used=mine,
        tools=tools,
        answers=agent.answers or Answers(),
        is_appointed=wanted == now,
    )


async def _searched(visit: Visit) -> int:
    return max(await visit.seen() - SEARCHED_STEPS, 0)
