"""The Bot Framework on loopback: it signs what it sends to a bot, gives tokens, and takes
activities under the rules that Teams has for them. A request that breaks one is noted in `wrong`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import jwt
import msgspec
import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.servers import free_port

APP_ID = "11111111-2222-4333-8444-555555555555"
TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
SECRET = "a very secret secret"
ISSUER = "https://api.botframework.com"
BOT = f"28:{APP_ID}"
ADA = "0a0a0a0a-1111-4111-8111-0a0a0a0a0a0a"
BOB = "0b0b0b0b-1111-4111-8111-0b0b0b0b0b0b"
CHAT = "a:1-personal-chat"
CHANNEL = "19:general@thread.tacv2"
BYTES_MAX = 28 * 1024
LIMIT_S = 10.0


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """Made once: they take a while."""
    return generate_private_key(public_exponent=65537, key_size=2048)


class Sent(Struct, frozen=True):
    """An activity as it came in."""

    method: str
    place: str
    activity: str
    body: dict[str, Any]
    at: float

    @property
    def text(self) -> str:
        return str(self.body.get("text", ""))

    @property
    def stream(self) -> dict[str, Any]:
        """Its streaminfo; empty when it is none of a stream."""
        found = (e for e in self.body.get("entities", ()) if e["type"] == "streaminfo")
        return next(found, {})

    @property
    def message(self) -> dict[str, Any]:
        """What it says of itself as a message: the AI label and the citations."""
        kind = "https://schema.org/Message"
        return next((e for e in self.body.get("entities", ()) if e["type"] == kind), {})

    @property
    def card(self) -> dict[str, Any]:
        found = (each["content"] for each in self.body.get("attachments", ()))
        return next(found, {})


class Streamed:
    """What Teams knows of one stream."""

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.sequence = 0
        self.text = ""
        self.over = False


Fault = Callable[[], Response | None]


class FakeTeams:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.service_url = f"{self.url}/emea/"
        self.hosts = (f"127.0.0.1:{port}",)
        self.sent: list[Sent] = []
        self.wrong: list[str] = []
        self.secret = SECRET
        self.tokens: set[str] = set()
        self.faults: deque[Fault] = deque()
        """Answers to the next requests, instead of the usual ones."""
        self.screen: dict[str, str] = {}
        """What a contact sees, by activity."""
        self.streams: dict[str, Streamed] = {}
        self.keys = {"key-1": rsa_key("key-1")}
        self.endorsements = ["msteams"]
        self.asked: list[str] = []
        self.files = {"cat.png": b"a picture"}
        self._news = asyncio.Condition()

    # -- what it sends ----------------------------------------------------------------------------

    def token(self, *, key: str = "key-1", signed_by: str = "", **claims: Any) -> str:
        now = int(time.time())
        told = {
            "iss": ISSUER,
            "aud": APP_ID,
            "iat": now - 10,
            "nbf": now - 10,
            "exp": now + 3600,
            "serviceurl": self.service_url,
            **claims,
        }
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, rsa_key(signed_by or key), "RS256", headers={"kid": key})

    def activity(self, kind: str, **fields: Any) -> dict[str, Any]:
        told = {
            "type": kind,
            "id": str(uuid.uuid4()),
            "timestamp": "2026-01-01T09:00:00.000Z",
            "channelId": "msteams",
            "serviceUrl": self.service_url,
            "from": {"id": "29:ada", "name": "Ada", "aadObjectId": ADA},
            "recipient": {"id": BOT, "name": "Desk"},
            "conversation": {"id": CHAT, "conversationType": "personal", "tenantId": TENANT},
            "channelData": {"tenant": {"id": TENANT}},
            "locale": "en-US",
        }
        return {**told, **fields}

    def says(self, text: str, **fields: Any) -> dict[str, Any]:
        return self.activity("message", text=text, textFormat="plain", **fields)

    def presses(self, card: dict[str, Any], title: str, *, who: str = BOB) -> dict[str, Any]:
        """Somebody presses the button of this title."""
        action = next(each for each in card["actions"] if each["title"] == title)
        pressed = {"type": "Action.Execute", "verb": action["verb"], "data": action["data"]}
        return self.activity(
            "invoke",
            name="adaptiveCard/action",
            value={"action": pressed, "trigger": "manual"},
            **{"from": {"id": "29:bob", "name": "Bob", "aadObjectId": who}},
        )

    # -- what it takes ----------------------------------------------------------------------------

    def app(self) -> Starlette:
        posts = "/emea/v3/conversations/{place}/activities"
        return Starlette(
            routes=[
                Route("/openid", self._openid),
                Route("/keys", self._jwks),
                Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
                Route(posts, self._post, methods=["POST"]),
                Route(posts + "/{activity}", self._put, methods=["PUT"]),
                Route("/emea/v3/attachments/{name}", self._file),
                Route("/download/{name}", self._file),
            ]
        )

    async def _openid(self, request: Request) -> Response:
        self.asked.append("openid")
        return self._fault() or JSONResponse({"issuer": ISSUER, "jwks_uri": f"{self.url}/keys"})

    async def _jwks(self, request: Request) -> Response:
        keys = []
        for name, key in self.keys.items():
            public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            keys.append({**public, "kid": name, "endorsements": self.endorsements})
        return JSONResponse({"keys": keys})

    async def _token(self, request: Request) -> Response:
        self.asked.append("token")
        form = parse_qs((await request.body()).decode())
        wanted = {
            "grant_type": ["client_credentials"],
            "client_id": [APP_ID],
            "client_secret": [self.secret],
            "scope": [f"{ISSUER}/.default"],
        }
        if form != wanted:
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        token = uuid.uuid4().hex
        self.tokens.add(token)
        told = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        return JSONResponse(told)

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if "attachments" in request.url.path and not self._is_ours(request):
            return Response(status_code=401)
        if "download" in request.url.path and "authorization" in request.headers:
            self.wrong.append("the bot's token was sent to a file's own address")
        if name not in self.files:
            return Response(status_code=404)
        return Response(self.files[name])

    async def _post(self, request: Request) -> Response:
        return await self._take(request, uuid.uuid4().hex)

    async def _put(self, request: Request) -> Response:
        return await self._take(request, request.path_params["activity"])

    async def _take(self, request: Request, id: str) -> Response:
        if not self._is_ours(request):
            return _failed(401, "Unauthorized", "no token of ours")
        if (fault := self._fault()) is not None:
            return fault
        body = msgspec.json.decode(await request.body())
        sent = Sent(request.method, request.path_params["place"], id, body, time.monotonic())
        answer = self._check(sent) or self._show(sent)
        if answer.status_code < 400:
            async with self._news:
                self.sent.append(sent)
                self._news.notify_all()
        return answer

    def _is_ours(self, request: Request) -> bool:
        return request.headers.get("authorization", "")[7:] in self.tokens

    def _fault(self) -> Response | None:
        return self.faults.popleft()() if self.faults else None

    def _check(self, sent: Sent) -> Response | None:
        body, size = sent.body, len(msgspec.json.encode(sent.body))
        if body["from"]["id"] != BOT or body["conversation"]["id"] != sent.place:
            self.wrong.append("an activity of somebody else, or of another conversation")
        if size > BYTES_MAX:
            self.wrong.append(f"{size} bytes")
            return _failed(413, "MessageSizeTooBig", "Message size too large.")
        if sent.method == "PUT" and sent.activity not in self.screen:
            return _failed(404, "ActivityNotFoundInConversation", "no such activity")
        return self._check_stream(sent) if sent.stream else None

    def _check_stream(self, sent: Sent) -> Response | None:
        info, id = sent.stream, sent.stream.get("streamId", "")
        stream = self.streams.get(id, Streamed())
        if sent.place != CHAT:
            return _failed(405, "MethodNotAllowed", "streaming is for one person only")
        if not id and any(s.place == sent.place and not s.over for s in self.streams.values()):
            self.wrong.append("two streams at once in a chat")
        if stream.over:
            return _stream_failed(
                "Content stream is not allowed on an already completed streamed message."
            )
        if id and id not in self.streams:
            self.wrong.append(f"an unknown stream {id}")
        if info["streamType"] != "final" and info["streamSequence"] != stream.sequence + 1:
            self.wrong.append(f"{info} after {stream.sequence}")
        if info["streamType"] == "informative" and (stream.text or len(sent.text) > 1000):
            self.wrong.append("informative after words, or too long")
        if info["streamType"] != "informative" and not sent.text.startswith(stream.text):
            return _stream_failed(
                "Request streamed content should contain the previously streamed content."
            )
        return None

    def _show(self, sent: Sent) -> Response:
        info = sent.stream
        id = info.get("streamId") or sent.activity
        if sent.body["type"] == "message" or info:
            self.screen[id] = sent.text or str(sent.card.get("fallbackText", ""))
        if info:
            stream = self.streams.setdefault(id, Streamed(sent.place))
            stream.sequence += 1
            stream.over = info["streamType"] == "final"
            if info["streamType"] != "informative":
                stream.text = sent.text
        return JSONResponse({"id": id}, status_code=200 if sent.method == "PUT" else 201)

    # -- what a test waits for --------------------------------------------------------------------

    async def until(self, condition: Callable[[Sent], bool], count: int = 1) -> Sent:
        """The `count`th activity of this kind."""
        found: list[Sent] = []

        def are_there() -> bool:
            found[:] = [each for each in self.sent if condition(each)]
            return len(found) >= count

        async with asyncio.timeout(LIMIT_S), self._news:
            await self._news.wait_for(are_there)
        return found[count - 1]


def _failed(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def _stream_failed(message: str) -> Response:
    return _failed(403, "ContentStreamNotAllowed", message)


def no_fault() -> None:
    """This one goes well."""


def expired() -> Response:
    return _stream_failed("Content stream finished due to exceeded streaming time.")


def stopped() -> Response:
    return _stream_failed("Content stream was canceled by user.")


def throttled(retry_after: str = "0") -> Response:
    answer = _failed(429, "TooManyRequests", "slow down")
    answer.headers["retry-after"] = retry_after
    return answer


def broken(status: int = 502) -> Response:
    return _failed(status, "ServiceError", "later")


@asynccontextmanager
async def serving(app: Starlette, port: int) -> AsyncIterator[None]:
    """Without uvicorn's own loop, which looks ten times a second whether it is to end."""
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off", ws="none")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield
    finally:
        server.force_exit = True
        await server.shutdown()


@asynccontextmanager
async def fake_teams() -> AsyncIterator[FakeTeams]:
    fake = FakeTeams(free_port())
    async with serving(fake.app(), int(fake.url.rpartition(":")[2])):
        yield fake
