"""What went wrong, as RFC 9457 has it: application/problem+json, without stack and secret."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response

from stepfold.gateway.refusals import FrontRefused

MEDIA = "application/problem+json"
ABOUT = "urn:stepfold:problem:"
"""A name and not a page: the same on every gateway, and in no domain that is somebody else's."""
MISTAKES_MAX = 10
NO_DOOR = "Nothing here"
REQUEST = "stepfold.request"
"""A scope's id of its request."""
JSON = "application/json"
BODY_S = 30.0
"""How long a body may take: else who sends one byte a minute keeps a connection for ever."""
Body = TypeVar("Body", bound=BaseModel)


class Message(Struct, frozen=True):
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """`type` names the kind of problem, `detail` tells this one and the way out, `instance` is the
    id of the request: the gateway's log has it too. Where there is no door, `error` tells it once
    more, to clients of OpenAI that look for what is not here.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: Message | None = None


WAYS: Mapping[str, str] = {
    "No such conversation": "GET /v1/conversations lists those of this key's customer, POST begins"
    " one",
}
"""By titles, the way out in this protocol: what is refused is told in others too."""
_COMMAND = re.compile(r"`stepfold show [^/`]*/([^`]+)`")


def problem(error: FrontRefused, request: Request) -> Response:
    detail = _detail(error)
    told = Problem(
        ABOUT + re.sub(r"[^a-z0-9]+", "-", error.title.lower()).strip("-"),
        error.title,
        error.status,
        detail,
        "urn:request:" + request_id(request),
        Message(detail) if error.title == NO_DOOR else None,
    )
    return Response(
        msgspec.json.encode(told), error.status, dict(more_headers(error)), media_type=MEDIA
    )


def _detail(error: FrontRefused) -> str:
    """With the way out; what is a command for who has the log is a door for who calls."""
    told = _COMMAND.sub(r"GET /v1/conversations/\1/steps", error.detail)
    way = WAYS.get(error.title)
    return f"{told}: {way}" if way else told


def more_headers(error: FrontRefused) -> Mapping[str, str]:
    """What a client needs beside the text."""
    if error.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="stepfold"'}
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.again_s)}
    return {"Retry-After": "1"} if error.status == HTTPStatus.SERVICE_UNAVAILABLE else {}


class TooMany(FrontRefused):
    """Asked too often: try `again_s` seconds later."""

    def __init__(self, detail: str, again_s: int) -> None:
        super().__init__(429, "Too many requests", detail)
        self.again_s = again_s


def request_id(request: Request) -> str:
    return str(request.scope.get(REQUEST, ""))


async def body_of(request: Request, shape: type[Body]) -> Body:
    """The body of a request; FrontRefused (415, 422) names what is wrong in it, and where."""
    media = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media != JSON and not media.endswith("+json"):
        why = f"the body is {media}: send {JSON}"
        raise FrontRefused(415, "Unsupported media type", why)
    raw = await read_body(request)
    try:
        return shape.model_validate_json(raw or b"{}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        told = "; ".join(_mistake(each, shape) for each in found[:MISTAKES_MAX])
        raise FrontRefused(422, "Wrong body", told) from error


async def read_body(request: Request, *, within_s: float = BODY_S) -> bytes:
    """All of it; FrontRefused (408) where it comes too slowly."""
    try:
        async with asyncio.timeout(within_s):
            return await request.body()
    except TimeoutError:
        why = f"the body did not come within {within_s:g} s"
        raise FrontRefused(408, "Too slow", why) from None


def _mistake(error: ErrorDetails, shape: type[BaseModel]) -> str:
    """Where it is, what it is, and what to write instead."""
    place, loc = _place(error["loc"]), error["loc"]
    match error["type"]:
        case "extra_forbidden" if len(loc) == 1:
            return f"{place}: there is no such key here (known: {', '.join(shape.model_fields)})"
        case "extra_forbidden":
            return f"{place}: there is no such key here: leave it out"
        case "missing":
            return f"{place}: it is missing"
        case "string_too_short":
            return f"{place}: it is empty: write something"
        case "string_pattern_mismatch":
            return f"{place}: write it as {error.get('ctx', {}).get('pattern', 'asked for')}"
        case _:
            return f"{place}: {error['msg']}"


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "the body"
