"""A tool that is an HTTP endpoint: what its file says, sent through the guard.

Before anything was sent a failure is a ToolError: nothing has happened. Afterwards, a failure of
what reads is one too, and a failure of what writes is Unsure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from msgspec.structs import replace

from stepfold.events.values import Arguments
from stepfold.providers.failures import retry_after_s
from stepfold.tools import http_answers, http_plan, secrets
from stepfold.tools.guard import Reach, transport
from stepfold.tools.http_answers import BUSY, Answer
from stepfold.tools.http_plan import Plan, Sending
from stepfold.tools.tool import ToolError, ToolSpec, caller
from stepfold.tools.unsure import Unsure

WAIT_S_MAX = 5.0
"""What a busy server may ask a read to wait, once."""
UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.UnsupportedProtocol,
)

Connect = Callable[[Reach], httpx2.AsyncBaseTransport]


def tool(plan: Plan, environment: Mapping[str, str], *, connect: Connect = transport) -> HttpTool:
    """With a lookup in its plan, one that can reconcile."""
    return (ReconcilingHttpTool if plan.lookup else HttpTool)(plan, environment, connect)


class HttpTool:
    def __init__(self, plan: Plan, environment: Mapping[str, str], connect: Connect) -> None:
        self.plan = plan
        self._environment = environment
        self._connect = connect
        self._reads = plan.spec.effect == "read"

    @property
    def spec(self) -> ToolSpec:
        return self.plan.spec

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        sending, keyed = self.plan.sending, bool(self.plan.key)
        own = {self.plan.key: http_plan.key_text(call)} if keyed else {}
        try:
            answer = await self._ask(sending, arguments, call, own, reads=self._reads)
            told = http_answers.result(answer, sending.result_at, reads=self._reads, keyed=keyed)
        except (ToolError, Unsure) as error:
            raise type(error)(self._hidden(str(error))) from None
        return self._hidden(told)

    async def _ask(
        self,
        sending: Sending,
        arguments: Arguments,
        call: str,
        own: Mapping[str, str],
        *,
        reads: bool,
    ) -> Answer:
        """A read of a busy server is asked once more, when that says how long to wait."""
        who = caller()
        traced = {"traceparent": who.traceparent} if who.traceparent else {}
        told = http_plan.values(arguments, who, call)
        clock = asyncio.get_running_loop().time
        until = clock() + self.plan.reach.timeout_s

        async def once() -> Answer:
            asked = http_plan.request(sending, told, self._environment, {**own, **traced})
            return await self._answer(asked, until - clock(), reads=reads)

        answer = await once()
        wait_s = retry_after_s(answer.headers)
        if reads and answer.status in BUSY and 0 < wait_s <= min(WAIT_S_MAX, until - clock()):
            await asyncio.sleep(wait_s)
            answer = await once()
        return answer

    async def _answer(self, asked: httpx2.Request, left_s: float, *, reads: bool) -> Answer:
        host = asked.url.netloc.decode()
        try:
            response = await self._transport(left_s, reads=reads).handle_async_request(asked)
        except UNSENT as error:
            raise ToolError(f"{host} was not reached, nothing was sent: {_why(error)}") from None
        except httpx2.RequestError as error:
            if reads:
                raise ToolError(f"{host} gave no answer: {_why(error)}") from None
            what = f"{host} was asked and gave no answer ({_why(error)})"
            raise Unsure(f"{what}: whether it was done cannot be told") from None
        try:
            content = await response.aread()
        except httpx2.RequestError as error:
            return Answer(host, response.status_code, response.headers, broken=_why(error))
        finally:
            await response.aclose()
        return Answer(host, response.status_code, response.headers, content)

    def _transport(self, left_s: float, *, reads: bool) -> httpx2.AsyncBaseTransport:
        """What writes follows no redirect: where it would lead, nobody has looked."""
        reach = replace(self.plan.reach, timeout_s=max(left_s, 0.0))
        return self._connect(reach if reads else replace(reach, redirects_max=0))

    def _hidden(self, told: Any) -> Any:
        return secrets.hidden(told, self.plan.variables, self._environment)


class ReconcilingHttpTool(HttpTool):
    async def reconcile(self, arguments: Arguments, *, call: str) -> Any:
        """What the lookup in the file finds of this call."""
        lookup = self.plan.lookup
        assert lookup is not None
        try:
            answer = await self._ask(lookup, arguments, call, {}, reads=True)
            told = http_answers.looked_up(answer, lookup.result_at, self.plan.absent)
        except ToolError as error:
            raise ToolError(self._hidden(str(error))) from None
        return self._hidden(told)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
