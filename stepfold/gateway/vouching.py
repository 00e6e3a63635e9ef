"""Tokens for visitors, by whoever has a key and knows who they are."""

from __future__ import annotations

from starlette.responses import Response

from stepfold.gateway.bodies import Vouch
from stepfold.gateway.doors import About, Answer, Asked, Door
from stepfold.gateway.principal import CHAT
from stepfold.gateway.problems import body_of
from stepfold.gateway.query import check_query
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.shapes import Token, answer
from stepfold.gateway.visitors import KEY_VARIABLE, Claims, expiry
from stepfold.gateway.web import gateway_of


async def vouch(asked: Asked) -> Response:
    check_query(asked.request, ())
    body = await body_of(asked.request, Vouch)
    visitors = gateway_of(asked.request).guard.visitors
    if visitors is None:
        why = f"this gateway has no key to seal tokens with: set {KEY_VARIABLE} for all gateways"
        raise FrontRefused(503, "No visitors", why)
    ends = expiry(asked.front.clock(), body.lasts_s)
    claims = Claims(
        key=asked.who.key,
        customer=asked.who.customer,
        contact=body.contact,
        expires=int(ends.timestamp()),
        conversation=body.conversation,
        origin=body.origin,
    )
    return answer(Token(visitors.token(claims), body.contact, ends), 201)


DOORS = (
    Door(
        "POST",
        "/v1/visitors",
        vouch,
        About(
            "vouchForVisitor",
            "A token for one visitor's browser.",
            "Ask for it on your server: a key does not belong into a page. The token has only the"
            " conversations that this contact begins, and stops when it expires or when your key"
            " is revoked.",
            body=Vouch,
            example={"contact": "ada", "origin": "https://shop.example", "lasts_s": 3600},
            answers={201: Answer("The token.", Token)},
            tag="visitors",
        ),
        scopes=(CHAT,),
    ),
)
