"""The Bot Framework's connector, as much of it as is used here: posting and replacing activities
with the bot's own token.

    ConnectorError
    ├── Throttled       too much at once: not before `wait_s` seconds
    ├── ConnectorAway   it cannot now, or did not answer: try again later
    ├── StreamOver      this stream takes no more; `why` is one of ours
    └── NotTaken        it will never take this: the bot was removed, the conversation is gone
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import httpx2
import msgspec
from msgspec import Struct

from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.places import Where
from stepfold.channels.teams.say import Activity, wire
from stepfold.streams.memory import utc_now
from stepfold.tools.guard import client
from stepfold.tools.oauth_errors import OAuthError
from stepfold.tools.oauth_server import AuthorizationServer, Clock, Tokens
from stepfold.tools.oauth_table import Auth
from stepfold.tools.tool import ToolError

TRIES = 3
WAIT_S_MAX = 5.0
"""Who must wait longer is told so, and does not wait here."""
BACKOFF_S = 0.5
EARLY_S = 300.0
"""A token is renewed so long before it ends."""
UNAUTHORIZED, FORBIDDEN, BUSY = 401, 403, 429
AGAIN = frozenset({408, 412, 502, 503, 504})
"""Microsoft: send the same again. 412 = another change was under way."""
HTTP_ERROR, HTTP_SERVER_ERROR = 400, 500
SAID_CHARS_MAX = 200

Sleep = Callable[[float], Awaitable[None]]
Why = Literal["expired", "stopped", "not allowed", "over"]


class ConnectorError(Exception):
    """An activity was not taken."""


class Throttled(ConnectorError):
    """Not before `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many activities: not before {wait_s:g} s")
        self.wait_s = wait_s


class ConnectorAway(ConnectorError):
    """Try again later."""


class StreamOver(ConnectorError):
    """`stopped`: by the contact; `expired`: after two minutes; `not allowed`: never here."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"this stream takes no more: {why}")
        self.why = why


class NotTaken(ConnectorError):
    """It will not be taken later either."""


class BotToken:
    """The bot's own token (client credentials): one request for all who need it at once."""

    def __init__(self, config: TeamsConfig, clock: Clock = utc_now) -> None:
        auth = Auth(
            connection="teams",
            kind="oauth2_client",
            client_id=config.app_id,
            client_secret=config.secret,
            client_auth="post",
            token_url=config.token_url,
            scopes=(config.scope,),
            reach=config.reach,
        )
        self._server = AuthorizationServer(auth, clock)
        self._clock = clock
        self._tokens: Tokens | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> str:
        """ServerRefused (a wrong secret), ServerAway."""
        async with self._asking:
            if self._tokens is None or self._ends_soon(self._tokens):
                self._tokens = await self._server.own()
            return self._tokens.access.reveal()

    def refused(self, token: str) -> None:
        """The connector did not accept it: the next one is another."""
        if self._tokens is not None and self._tokens.access.reveal() == token:
            self._tokens = None

    def _ends_soon(self, tokens: Tokens) -> bool:
        ends: datetime | None = tokens.expires_at
        return ends is not None and ends - self._clock() < timedelta(seconds=EARLY_S)


class _Taken(Struct, frozen=True):
    id: str = ""


class _Said(Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Failure(Struct, frozen=True):
    error: _Said = _Said()


class Connector:
    """What may be sent again is, `TRIES` times. Where an answer is lost nobody knows whether the
    activity was taken, and it is sent again: twice is better than never.
    """

    def __init__(
        self, config: TeamsConfig, token: BotToken, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._reach = config.reach
        self._token = token
        self._sleep = sleep

    async def post(self, where: Where, activity: Activity, *, tries: int = TRIES) -> str:
        """The id of what was posted; empty for what is not kept. ConnectorError."""
        return await self._send("POST", _activities(where), _addressed(activity, where), tries)

    async def put(self, where: Where, id: str, activity: Activity) -> None:
        """`activity` in the place of the one with this id; twice is as good as once."""
        body = {**_addressed(activity, where), "id": id}
        await self._send("PUT", f"{_activities(where)}/{quote(id, safe=':@=')}", body, TRIES)

    async def _send(self, method: str, url: str, body: dict[str, Any], tries: int) -> str:
        raw = msgspec.json.encode(body)
        for left in reversed(range(tries)):
            try:
                return await self._once(method, url, raw)
            except Throttled as error:
                if not left or error.wait_s > WAIT_S_MAX:
                    raise
                await self._sleep(error.wait_s)
            except ConnectorAway:
                if not left:
                    raise
                await self._sleep(BACKOFF_S * (tries - left))
        raise AssertionError("unreachable")

    async def _once(self, method: str, url: str, raw: bytes) -> str:
        response, token = await self._request(method, url, raw)
        if response.status_code == UNAUTHORIZED:
            self._token.refused(token)
            response, token = await self._request(method, url, raw)
        if response.status_code < HTTP_ERROR:
            return _id(response)
        raise _failure(response)

    async def _request(self, method: str, url: str, raw: bytes) -> tuple[httpx2.Response, str]:
        try:
            token = await self._token.get()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            async with client(self._reach) as web:
                return await web.request(method, url, content=raw, headers=headers), token
        except OAuthError as error:  # a secret that has expired too: somebody may put it right
            raise ConnectorAway(str(error)) from None
        except ToolError as error:
            raise NotTaken(str(error)) from None
        except (httpx2.HTTPError, OSError) as error:
            raise ConnectorAway(f"no answer ({type(error).__name__})") from None


def _activities(where: Where) -> str:
    return (
        f"{where.service_url}/v3/conversations/{quote(where.conversation, safe=':@;=')}/activities"
    )


def _addressed(activity: Activity, where: Where) -> dict[str, Any]:
    sender = {"from": {"id": where.bot}, "conversation": {"id": where.conversation}}
    return {**wire(activity), **sender}


def _id(response: httpx2.Response) -> str:
    try:
        return msgspec.json.decode(response.content or b"{}", type=_Taken).id
    except msgspec.MsgspecError:
        return ""


def _failure(response: httpx2.Response) -> ConnectorError:
    status = response.status_code
    try:
        said = msgspec.json.decode(response.content, type=_Failure).error
    except msgspec.MsgspecError:
        said = _Said()
    if status == BUSY:
        return Throttled(_retry_after_s(response))
    if status in AGAIN or status >= HTTP_SERVER_ERROR or status == UNAUTHORIZED:
        return ConnectorAway(f"HTTP {status}")
    if status == FORBIDDEN and "stream" in f"{said.code} {said.message}".lower():
        return StreamOver(_why(said.message.lower()))
    told = "".join(each for each in f"{said.code} {said.message}" if each.isprintable())
    return NotTaken(f"HTTP {status} {told[:SAID_CHARS_MAX]}".strip())


def _why(message: str) -> Why:
    """Teams tells these apart by their texts only."""
    if "exceeded streaming time" in message:
        return "expired"
    if "cancel" in message:
        return "stopped"
    if "not allowed" in message and "completed" not in message:
        return "not allowed"
    return "over"


def _retry_after_s(response: httpx2.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", BACKOFF_S)))
    except ValueError:  # a date
        return WAIT_S_MAX
