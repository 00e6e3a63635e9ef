"""Calls that wait for people: exactly what would run, and a yes or a no.

Who decides is the key: whoever needs two people needs two keys with two names.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.tables import Table, exported, table
from stepfold.gateway.refusals import FrontRefused, refusing

DECIDED_SHOWN = 25
DECIDED = ("granted", "denied", "expired", "void")
COMMENT_CHARS_MAX = 2_000
DONE = {"granted": "Granted: the call may run.", "denied": "Denied: the call will not run."}


async def look(visit: Visit) -> Response:
    status = visit.asked("status")
    narrowed: dict[str, object] = {"tool": visit.asked("tool") or None}
    decided_as = {**narrowed, "status": status if status in DECIDED else None}
    tables = {"approvals_waiting": narrowed, "approvals_decided": decided_as}
    if found := await exported(visit, tables):
        return found
    seen = await visit.seen()
    waiting, decided = await asyncio.gather(
        table(visit, "approvals_waiting", **narrowed),
        table(visit, "approvals_decided", **decided_as, rows=DECIDED_SHOWN),
    )
    values = {
        "seen": seen,
        "waiting": _told(waiting),
        "decided": _told(decided),
        "statuses": DECIDED,
        "done": DONE.get(visit.asked("done"), ""),
    }
    if visit.part == "waiting":
        return visit.page("approvals_waiting.html", **values)
    return visit.page("approvals.html", **values)


def _told(found: Table) -> Table:
    """With the arguments as they are and the people in one line."""
    rows = [
        {
            **row,
            "granted_told": ", ".join(row["granted_by"] or ()),
            "parsed": msgspec.json.decode(row["arguments"] or "{}"),
        }
        for row in found.rows
    ]
    return replace(found, rows=rows)


async def decide(visit: Visit, form: dict[str, str]) -> Response:
    """Grant or deny one call with this digest, as the person that the key names."""
    if not visit.may_approve:
        why = "this key may look and not decide: it needs the scope approve"
        raise FrontRefused(403, "Not permitted", why)
    who, name = visit.acting(visit.named("customer")), visit.named("conversation")
    await visit.front.check(who, name)
    key, call, digest = (who.customer, name), visit.named("call"), form.get("digest", "")
    comment = form.get("comment", "").strip()[:COMMENT_CHARS_MAX]
    person, by = visit.session.person, f"key:{who.key}"
    told = visit.front.approvals
    with refusing():
        match form.get("decision"):
            case "grant":
                await told.grant(key, call, digest=digest, person=person, comment=comment, by=by)
                done = "granted"
            case "deny":
                await told.deny(key, call, digest=digest, person=person, reason=comment, by=by)
                done = "denied"
            case _:
                raise FrontRefused(422, "Wrong form", "the decision is grant or deny")
    visit.questions.forget()
    if form.get("back") == "conversation":
        return visit.to("conversations", who.customer, name)
    return visit.to("approvals", done=done)
