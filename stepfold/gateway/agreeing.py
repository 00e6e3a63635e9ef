"""Calls that wait for people, and what people say to them."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stepfold.gateway.asking import ROWS_MAX
from stepfold.gateway.bodies import Decide
from stepfold.gateway.conversations import PATH
from stepfold.gateway.doors import About, Answer, Asked, Door, Parameter, Run
from stepfold.gateway.principal import APPROVE
from stepfold.gateway.problems import body_of
from stepfold.gateway.query import CONVERSATION, check_query
from stepfold.gateway.refusals import refusing
from stepfold.gateway.shapes import Approval, Approvals, Recorded, answer
from stepfold.handlers.approvals import Waiting

WAITING = """
    SELECT conversation, call, name, arguments, digest, reason, expires_at, people, granted_by
    FROM approvals
    WHERE customer = $customer AND status = 'waiting' AND expires_at > $now
    ORDER BY position DESC
"""
CALL = Parameter(
    "call", "path", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}, "As it was listed."
)


async def list_(asked: Asked) -> Response:
    check_query(asked.request, ())
    given = {"customer": asked.who.customer, "now": asked.front.clock()}
    rows = await asked.front.ask_views(WAITING, given)
    return answer(Approvals(tuple(_row(row) for row in rows)))


def _row(row: dict[str, object]) -> Approval:
    """Arguments are JSON in a text, times in the views are UTC and say no zone."""
    arguments = row["arguments"]
    told = msgspec.json.decode(arguments) if isinstance(arguments, str) else arguments
    return msgspec.convert(
        {
            **row,
            "arguments": told or {},
            "granted_by": row["granted_by"] or (),
            "expires_at": f"{row['expires_at']}Z",
        },
        Approval,
        strict=False,
    )


async def of_conversation(asked: Asked) -> Response:
    check_query(asked.request, ())
    name = asked.named("conversation")
    await asked.front.check(asked.who, name)
    with refusing():
        waiting = await asked.front.approvals.waiting(asked.who.customer, name)
    return answer(Approvals(tuple(map(_waiting, waiting))))


def _waiting(each: Waiting) -> Approval:
    request = each.agreement.request
    return Approval(
        conversation=each.conversation,
        call=request.call,
        name=request.name,
        arguments=request.arguments,
        digest=request.digest,
        reason=request.reason,
        expires_at=each.due,
        people=request.people,
        granted_by=tuple(each.agreement.people),
    )


async def grant(asked: Asked) -> Response:
    return await _decide(asked, agrees=True)


async def deny(asked: Asked) -> Response:
    return await _decide(asked, agrees=False)


async def _decide(asked: Asked, *, agrees: bool) -> Response:
    check_query(asked.request, ())
    body = await body_of(asked.request, Decide)
    name, call = asked.named("conversation"), asked.named("call")
    await asked.front.check(asked.who, name)
    key, approvals = (asked.who.customer, name), asked.front.approvals
    digest, person, said = body.digest, body.person, body.comment
    by = f"key:{asked.who.key}"
    with refusing():
        if agrees:
            entry = await approvals.grant(
                key, call, digest=digest, person=person, comment=said, by=by
            )
        else:
            entry = await approvals.deny(
                key, call, digest=digest, person=person, reason=said, by=by
            )
    events = f"/v1/conversations/{name}/events?after={entry.position}&until=rest"
    return answer(Recorded(name, entry.position, entry.at, events))


_DECISION = {"digest": "sha256:" + "0" * 64, "person": "ada", "comment": "looks right"}
TAG = "approvals"


def _door(what: str, summary: str, run: Run) -> Door:
    return Door(
        "POST",
        f"{PATH}/approvals/{{call}}/{what}",
        run,
        About(
            f"{what}Call",
            summary,
            "It is bound to the digest of the call: another call under this name is refused."
            " Whoever has the key vouches for the name of the person, so that one key can speak for"
            " several people; the key is recorded beside it.",
            body=Decide,
            example=_DECISION,
            parameters=(CONVERSATION, CALL),
            answers={200: Answer("It is in the log.", Recorded)},
            refusals=(404, 409),
            tag=TAG,
        ),
        scopes=(APPROVE,),
    )


DOORS = (
    Door(
        "GET",
        "/v1/approvals",
        list_,
        About(
            "listApprovals",
            "The calls of the customer that wait for people, the latest first.",
            f"Out of the views, which follow the log by some milliseconds; at most {ROWS_MAX:,}.",
            answers={200: Answer("The latest of them.", Approvals)},
            refusals=(503,),
            tag=TAG,
        ),
        scopes=(APPROVE,),
    ),
    Door(
        "GET",
        f"{PATH}/approvals",
        of_conversation,
        About(
            "listApprovalsOf",
            "The calls of one conversation that wait for people, as of now.",
            parameters=(CONVERSATION,),
            answers={200: Answer("All of them.", Approvals)},
            refusals=(404,),
            tag=TAG,
        ),
        scopes=(APPROVE,),
    ),
    _door("grant", "Agree to a call.", grant),
    _door("deny", "Say no to a call; one is enough.", deny),
)
