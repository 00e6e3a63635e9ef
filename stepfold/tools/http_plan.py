"""What an HTTP tool sends: its requests with gaps, and how a call's values fill them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

import httpx2
import msgspec
from msgspec import Struct

from stepfold.events.values import Arguments
from stepfold.policy.toolspec import ToolSpec
from stepfold.tools import http_templates
from stepfold.tools.guard_reach import USER_AGENT, Reach
from stepfold.tools.http_templates import Template, Values
from stepfold.tools.tool import Caller, ToolError

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
IN_QUERY = frozenset({"GET", "HEAD", "DELETE"})
"""Methods whose remaining arguments go into the query; those of others are the body."""
KEY_CHARS_MAX = 255
DEFAULTS = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate"),
    ("User-Agent", USER_AGENT),
)


class Sending(Struct, frozen=True):
    """A request with gaps. `rest` are the arguments that have no place of their own in it.
    `result_at` is where in the answer the result is: `data.items.0`; empty: all of it.
    """

    method: Method
    url: Template
    query: tuple[tuple[str, Template], ...] = ()
    headers: tuple[tuple[str, Template], ...] = ()
    body: Any = None
    rest: tuple[str, ...] = ()
    result_at: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(name for each in self.templates() for name in each.variables)

    @property
    def gaps(self) -> frozenset[str]:
        return frozenset(name for each in self.templates() for name in each.gaps)

    def templates(self) -> Iterator[Template]:
        yield self.url
        yield from (each for _, each in self.query)
        yield from (each for _, each in self.headers)
        yield from http_templates.templates(self.body)


class Plan(Struct, frozen=True):
    """A tool as its file says it. `lookup` tells whether a call happened: its result is None where
    the answer has a status of `absent`, or nothing at its place. `key` is the header that carries
    the call's idempotency key.
    """

    spec: ToolSpec
    sending: Sending
    reach: Reach
    key: str = ""
    lookup: Sending | None = None
    absent: tuple[int, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        return self.sending.variables + (self.lookup.variables if self.lookup else ())


def values(arguments: Arguments, caller: Caller, call: str) -> Values:
    """What fills gaps. What is ours wins over an argument of the same name."""
    ours = {
        "customer": caller.customer,
        "contact": caller.contact,
        "conversation": caller.conversation,
        "call": call,
    }
    return {**arguments, **ours}


def request(
    sending: Sending, told: Values, environment: Mapping[str, str], own: Mapping[str, str]
) -> httpx2.Request:
    """The request of one call, with our `own` headers. ToolError where an argument does not fit
    its gap.
    """
    url = _url(sending, told, environment)
    headers = httpx2.Headers(list(DEFAULTS))
    for name, each in sending.headers:
        if not each.only or told.get(each.only) is not None:
            headers[name] = http_templates.header(name, each, told, environment)
    headers.update(own)
    content = _content(sending, told, environment)
    if content is not None:
        headers.setdefault("Content-Type", "application/json")
    return httpx2.Request(sending.method, url, headers=headers, content=content)


def key_text(call: str) -> str:
    """The idempotency key as a header takes it."""
    fits = call.isascii() and call.isprintable() and 0 < len(call) <= KEY_CHARS_MAX
    return call if fits else hashlib.sha256(call.encode()).hexdigest()


def _url(sending: Sending, told: Values, environment: Mapping[str, str]) -> str:
    text = http_templates.url(sending.url, told, environment)
    pairs = list(_pairs(sending, told, environment))
    if pairs:
        joined = "&".join(f"{quote(key, safe='')}={quote(text, safe='')}" for key, text in pairs)
        text += ("&" if "?" in text else "?") + joined
    planned = http_templates.beginning(sending.url, environment)
    try:
        same = httpx2.URL(text).origin == httpx2.URL(planned).origin
    except httpx2.InvalidURL as error:
        raise ToolError(f"the arguments make no URL: {error}") from None
    if not same:
        raise ToolError("an argument would lead to another host")
    return text


def _pairs(
    sending: Sending, told: Values, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The query. A list is a key several times; what has no value is left out."""
    rest = sending.rest if sending.method in IN_QUERY else ()
    gaps = ((key, each.only, each) for key, each in sending.query)
    for key, only, each in (*gaps, *((name, name, None) for name in rest)):
        value = told.get(only) if only else None
        if only and value is None:
            continue
        if isinstance(value, list):
            yield from ((key, http_templates.plain(only, {only: one})) for one in value)
        elif each is None:
            yield key, http_templates.plain(only, told)
        else:
            yield key, http_templates.filled(each, told, environment)


def _content(sending: Sending, told: Values, environment: Mapping[str, str]) -> bytes | None:
    if sending.body is not None:
        return msgspec.json.encode(http_templates.body(sending.body, told, environment))
    if sending.method in IN_QUERY or not sending.rest:
        return None
    rest = {name: told[name] for name in sending.rest if told.get(name) is not None}
    return msgspec.json.encode(rest)
