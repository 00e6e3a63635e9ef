"""An operation of a description as a tool.

The server is the connection's, never the model's choice. An answer that says no (4xx) is a
ToolError; after a write, an answer that says neither yes nor no, or none, is Unsure.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import msgspec
from msgspec import Struct

from stepfold.events.values import Arguments
from stepfold.policy.effect import Effect, Recovery
from stepfold.policy.toolspec import ToolSpec
from stepfold.tools.guard import Reach, client
from stepfold.tools.openapi.answers import STATUS, Results, misfit
from stepfold.tools.openapi.credentials import Credentials, Renewing
from stepfold.tools.openapi.encoding import Encoded, encode
from stepfold.tools.openapi.operation import Operation
from stepfold.tools.openapi.reading import Json
from stepfold.tools.secrets import hidden
from stepfold.tools.tool import Caller, ToolError, caller
from stepfold.tools.unsure import Unsure

NOTED_BYTES_MAX = 500_000
"""A larger answer is passed on as it is, where misfits are only noted."""
NOTE = "not as the description of this API says, so read it with care: {}"
BODY_CHARS_MAX = 500
"""Of an answer that says no, so much is told."""
log = logging.getLogger("stepfold.connections")
_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
"""Errors after which nothing has reached the server."""

GOOD, MOVED, REFUSED, FAILED = 200, 300, 400, 500
SEE_OTHER, UNAUTHORIZED = 303, 401
NOT_DONE = frozenset({307, 308, 501})
"""Statuses with which a server says that it did nothing."""


class _Unauthorized(ToolError):
    """The server does not know who asks; nothing has happened."""


class Way(Struct, frozen=True):
    """Where a customer's requests go and what goes with them. `query` is added to each of them,
    and `secret` takes the connection's secrets out of an answer.
    """

    url: str
    credentials: Credentials | None = None
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    secret: Callable[[Any], Any] = lambda value: value


Ways = Callable[[Caller], Way]
"""The way of a caller. ToolError: there is none for that customer."""


class OpenApiTool:
    """`key_header` is where an idempotency key goes; with one, a write can be repeated."""

    def __init__(
        self,
        operation: Operation,
        ways: Ways,
        *,
        name: str,
        reads: bool,
        reach: Reach,
        results: Results = "note",
        key_header: str = "",
    ) -> None:
        self.operation = operation
        self._ways = ways
        self._reach = reach
        self._reads = reads
        self._noted = False
        self._results = results
        self._key_header = "" if reads else key_header
        effect: Effect = "read" if reads else "write"
        recovery: Recovery = "idempotent" if reads or key_header else "never_repeat"
        self.spec = ToolSpec(
            name,
            operation.description,
            operation.parameters,
            _promised(operation, results),
            effect=effect,
            recovery=recovery,
        )

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        who = caller()
        encoded = encode(self.operation, arguments)
        way = self._ways(who)
        shown = await way.credentials.headers(who.customer) if way.credentials else {}
        headers = self._headers(way, encoded, who, call)
        try:
            return await self._sent(way, encoded, headers, shown)
        except _Unauthorized:
            if not isinstance(way.credentials, Renewing):
                raise
            fresh = await way.credentials.rejected(who.customer, shown)
            if fresh is None:
                raise
        return await self._sent(way, encoded, headers, fresh)

    async def _sent(
        self, way: Way, encoded: Encoded, headers: Mapping[str, str], shown: Mapping[str, str]
    ) -> Any:
        told = {**headers, **shown}
        method, url = self.operation.method.upper(), _url(way, encoded)
        try:
            async with (
                client(self._reach) as http,
                http.stream(method, url, headers=told, content=encoded.content) as response,
            ):
                return await self._result(response, way, shown)
        except _UNSENT as error:
            raise ToolError(f"{self.spec.name}: the server cannot be reached: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise self._broken(f"no whole answer: {str(error) or type(error).__name__}") from None

    def _headers(self, way: Way, encoded: Encoded, who: Caller, call: str) -> dict[str, str]:
        """What the model says never replaces what the connection says."""
        own = {"Accept": "application/json, */*;q=0.1", **way.headers}
        if who.traceparent:
            own["traceparent"] = who.traceparent
        if self._key_header:
            own[self._key_header] = call
        taken = {name.lower() for name in own}
        told = {name: text for name, text in encoded.headers.items() if name.lower() not in taken}
        return told | own

    async def _result(self, response: httpx2.Response, way: Way, shown: Mapping[str, str]) -> Any:
        status = response.status_code
        body = await self._body(response)
        tokens = {name: value.rpartition(" ")[2] for name, value in shown.items()}
        told: Any = hidden(way.secret(_value(response, body)), tokens, tokens)
        if GOOD <= status < MOVED or (status == SEE_OTHER and not self._reads):
            why = self._misfit(told, body, response)
            whole = self._whole(told, status)
            return {"answer": whole, "note": NOTE.format(why)} if why else whole
        raise self._error(status, told, response)

    async def _body(self, response: httpx2.Response) -> bytes | None:
        """None: it broke off. What was done is done, whatever becomes of its answer."""
        try:
            return await response.aread()
        except httpx2.HTTPError:
            if self._reads or response.status_code >= FAILED:
                raise
            return None

    def _misfit(self, told: Any, body: bytes | None, response: httpx2.Response) -> str:
        """Why JSON is not as described. What checks, refuses it."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not body or told is None or not kind.endswith("json") or self._results == "off":
            return ""
        if self._results == "note" and len(body) > NOTED_BYTES_MAX:
            return ""
        why = misfit(told, self.operation.answers, response.status_code)
        if why and not self._noted:
            self._noted = True
            log.warning("%s: an answer is not as its description says: %s", self.spec.name, why)
        if not why or self._results == "note":
            return why
        text = f"{self.spec.name}: its answer is not as its description says: {why}"
        if self._reads:
            raise ToolError(text)
        raise Unsure(f"{text}: the server says that it was done ({response.status_code})")

    def _whole(self, told: Any, status: int) -> Any:
        """The answer's JSON as it is; an object in any case where the description promises one."""
        if told is None:
            return {"status": status}
        if self.operation.objects and not isinstance(told, dict):
            return {"status": status, "answer": told}
        return told

    def _error(self, status: int, told: Any, response: httpx2.Response) -> Exception:
        text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
        words = " ".join(text.split())
        short = words if len(words) <= BODY_CHARS_MAX else words[: BODY_CHARS_MAX - 1] + "…"
        why = f"{status} {response.reason_phrase}".strip() + (f": {short}" if told else "")
        later = response.headers.get("retry-after", "")
        if later.isdecimal():
            why += f" (again after {later} s)"
        if status == UNAUTHORIZED:
            return _Unauthorized(f"{self.spec.name}: {why}")
        if REFUSED <= status < FAILED or status in NOT_DONE:
            return ToolError(f"{self.spec.name}: {why}")
        return self._broken(why)

    def _broken(self, why: str) -> Exception:
        if self._reads:
            return ToolError(f"{self.spec.name}: {why}")
        return Unsure(f"{self.spec.name}: {why}: nobody can say whether it was done")


def _promised(operation: Operation, results: Results) -> Json:
    """What of a result is sure. Without a description of each answer there is nothing to check."""
    if results == "check" and operation.answers:
        return {"anyOf": [*operation.answers.values(), STATUS]}
    return {"type": "object"} if operation.objects else {}


def _url(way: Way, encoded: Encoded) -> str:
    if not way.query:
        return way.url + encoded.target
    own = str(httpx2.QueryParams(way.query))
    return f"{way.url}{encoded.target}{'&' if '?' in encoded.target else '?'}{own}"


def _value(response: httpx2.Response, body: bytes | None) -> Any:
    """JSON where it is some, else text; of anything else only what it is."""
    if body is None:
        return "(the answer broke off, or is too large)"
    if not body:
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not kind or kind.startswith("text/") or kind.endswith(("json", "xml", "javascript")):
        return body.decode(errors="replace")
    return {"content_type": kind, "bytes": len(body)}
