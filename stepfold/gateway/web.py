"""The doors as one ASGI application.

Outside    ids, headers, times; what nobody expected becomes a 500 that says only its id
└── Way    one path: its methods, who is let in, how large a body may be, how a refusal is told
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepfold.gateway.doors import Asked, Door
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import SECURITY, Guard, cross_origin, preflight
from stepfold.gateway.measuring import PATH, Measured
from stepfold.gateway.openapi import document
from stepfold.gateway.problems import REQUEST, problem, request_id
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.streaming import MEDIA, Stream

_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
Render = Callable[[], Awaitable[bytes]]
log = logging.getLogger("stepfold.gateway")


class Gateway(Starlette):
    """`closing` is set when it is about to end: streams say goodbye then. `numbers` renders those
    of the log, for the page of the metrics.
    """

    def __init__(
        self,
        front: Front,
        guard: Guard,
        doors: Sequence[Door],
        *,
        mounts: Sequence[BaseRoute] = (),
        closing: asyncio.Event | None = None,
        numbers: Render | None = None,
    ) -> None:
        self.front = front
        self.guard = guard
        self.doors = tuple(doors)
        self.closing = closing or asyncio.Event()
        self.measured = Measured()
        self.numbers = numbers
        ways = [
            Route(path, Way(self, {door.method: door for door in doors if door.path == path}))
            for path in dict.fromkeys(door.path for door in doors)
        ]
        told = {HTTPException: _told, Exception: _failed}
        super().__init__(routes=[*ways, *mounts], exception_handlers=told)
        self.router.redirect_slashes = False

    @cached_property
    def description(self) -> bytes:
        """The doors as OpenAPI has them, in JSON."""
        return msgspec.json.encode(document(self.doors))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Outside(super().__call__, self.measured)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def gateway_of(request: Request) -> Gateway:
    found = request.app
    assert isinstance(found, Gateway)
    return found


def stream(asked: Asked, body: AsyncGenerator[str, None], *, media: str = MEDIA) -> Response:
    """An answer in pieces, counted among the caller's streams. FrontRefused (429)."""
    return Stream(body, gateway_of(asked.request).guard.limits.open(asked.who), media=media)


async def _told(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses."""
    assert isinstance(error, HTTPException)
    titles = {404: "Nothing here", 405: "Wrong method"}
    title = titles.get(error.status_code, "Refused")
    why = f"{request.method} {request.url.path}: {error.detail}; /openapi.json says what is here"
    return problem(FrontRefused(error.status_code, title, why), request)


async def _failed(request: Request, error: Exception) -> Response:
    """What nobody expected: `Outside` logs it."""
    why = f"the log of the gateway says how, under request {request_id(request)}"
    return problem(FrontRefused(500, "Gateway failed", why), request)


class Way:
    """The doors of one path. An instance is an ASGI application, so it sees every method."""

    def __init__(self, gateway: Gateway, doors: Mapping[str, Door]) -> None:
        self._gateway = gateway
        self._doors = doors
        self._path = next(iter(doors.values())).path
        self._methods = ", ".join((*doors, "OPTIONS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PATH] = self._path
        door = self._door(scope["method"])
        if door is None:
            response = self._without_door(Request(scope))
        else:
            request = Request(scope, _limited(receive, door.bytes_max))
            response = await self._answer(door, request)
            for name, value in ({} if door.public else cross_origin(request)).items():
                response.headers[name] = value
        with suppress(ClientDisconnect):
            await response(scope, receive, send)

    def _door(self, method: str) -> Door | None:
        """Whoever asks for the head alone gets that of a public page: no stream is begun for it."""
        if method != "HEAD":
            return self._doors.get(method)
        door = self._doors.get("GET")
        return door if door is not None and door.public else None

    async def _answer(self, door: Door, request: Request) -> Response:
        try:
            _check_length(request, door.bytes_max)
            who = await self._gateway.guard.admit(door, request)
            return await door.run(Asked(self._gateway.front, who, request))
        except FrontRefused as error:
            return door.told(error, request)
        except ClientDisconnect:
            return Response(status_code=499)

    def _without_door(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(
                status_code=204,
                headers={"Allow": self._methods, **preflight(request, self._methods)},
            )
        why = f"{request.method} is not for {request.url.path}: {self._methods}"
        response = problem(FrontRefused(405, "Wrong method", why), request)
        response.headers["Allow"] = self._methods
        return response


def _check_length(request: Request, most: int) -> None:
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > most:
        raise _too_large(most)


def _limited(receive: Receive, most: int) -> Receive:
    """A body may come in pieces that nobody announced."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise _too_large(most)
        return message

    return limited


def _too_large(most: int) -> FrontRefused:
    return FrontRefused(413, "Too large", f"a body may have {most} bytes here: send less")


class Outside:
    """What every answer has, whatever becomes of the request."""

    def __init__(self, app: ASGIApp, measured: Measured) -> None:
        self._app = app
        self._measured = measured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = Request(scope).headers.get("x-request-id", "")
        id = shown if _ID.fullmatch(shown) else secrets.token_hex(8)
        scope[REQUEST] = id
        begun = time.perf_counter()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = id
                self._measured.answered(scope, message["status"], time.perf_counter() - begun)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            log.exception("request %s: %s %r failed", id, scope["method"], scope["path"])
