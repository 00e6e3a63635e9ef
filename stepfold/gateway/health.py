"""What the machinery around a gateway asks it, and what people see first."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from stepfold import __version__
from stepfold.gateway.doors import About, Answer, Asked, Door
from stepfold.gateway.measuring import STREAMS
from stepfold.gateway.principal import OPERATOR
from stepfold.gateway.refusals import FrontRefused, refusing
from stepfold.gateway.shapes import Health, Here, Place, Ready, answer
from stepfold.gateway.web import gateway_of
from stepfold.observability.prometheus import TYPE, text

READY_S = 2.0
TAG = "gateway"


async def alive(asked: Asked) -> Response:
    return answer(Health("ok"))


async def ready(asked: Asked) -> Response:
    """Who ends is not ready any more, so that nobody new is sent here."""
    if gateway_of(asked.request).closing.is_set():
        raise FrontRefused(503, "Ending", "this gateway ends: ask another")
    try:
        with refusing():
            async with asyncio.timeout(READY_S):
                return answer(Ready("ok", await asked.front.found.log.last()))
    except TimeoutError as error:
        why = f"the log did not answer within {READY_S:g} s"
        raise FrontRefused(503, "Log unavailable", why) from error


async def metrics(asked: Asked) -> Response:
    gateway = gateway_of(asked.request)
    own = gateway.measured.numbers
    own.set(STREAMS, {(): gateway.guard.limits.streams})
    rest = await gateway.numbers() if gateway.numbers is not None else b""
    return Response(text(own) + rest, media_type=TYPE)


async def openapi(asked: Asked) -> Response:
    told = gateway_of(asked.request).description
    return Response(told, media_type="application/json")


async def here(asked: Asked) -> Response:
    doors = gateway_of(asked.request).doors
    places = [
        Place(f"{door.method} {door.path}", door.about.summary)
        for door in doors
        if door.about is not None
    ]
    return answer(Here(__version__, tuple(places)))


DOORS = (
    Door(
        "GET",
        "/",
        here,
        About("here", "What is here.", answers={200: Answer("It.", Here)}, tag=TAG),
        public="says only what /openapi.json says",
    ),
    Door(
        "GET",
        "/healthz",
        alive,
        About("alive", "Is it alive?", answers={200: Answer("It is.", Health)}, tag=TAG),
        public="says nothing of anybody",
        limited=False,
    ),
    Door(
        "GET",
        "/readyz",
        ready,
        About(
            "ready",
            "Does it reach the log?",
            answers={200: Answer("It does.", Ready)},
            refusals=(503,),
            tag=TAG,
        ),
        public="says nothing of anybody",
        limited=False,
    ),
    Door(
        "GET",
        "/metrics",
        metrics,
        About(
            "metrics",
            "Numbers for Prometheus.",
            "They are of all customers: only a key of an operator opens it.",
            answers={200: Answer("In Prometheus' text format.", media="text/plain")},
            tag=TAG,
        ),
        scopes=(OPERATOR,),
    ),
    Door(
        "GET",
        "/openapi.json",
        openapi,
        About(
            "openapi",
            "This description.",
            answers={200: Answer("OpenAPI 3.1.", media="application/json")},
            tag=TAG,
        ),
        public="is the same for everybody",
    ),
)
