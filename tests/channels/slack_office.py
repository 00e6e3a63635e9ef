"""Everything between a fake Slack and a scripted model: a real log, workers, the routes on a real
port, and who delivers.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx2
import uvicorn
from starlette.applications import Starlette

from stepfold.app import Opened, Parts, granted, opened, working
from stepfold.channels.slack.api import SlackApi
from stepfold.channels.slack.app import EVENTS, INTERACTIVE, SlackDoor
from stepfold.channels.slack.config import Secret, SlackConfig, parse_slack
from stepfold.channels.slack.deliver import Deliverer, delivering
from stepfold.channels.slack.hearing import Receive
from stepfold.channels.slack.names import Thread
from stepfold.events.envelope import Entry
from stepfold.events.values import Arguments, Delta
from stepfold.knowledge.document import Document
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.model import Model, Prompt, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.settings import Settings
from stepfold.tools.tool import FunctionTool, ToolSpec
from tests.channels.slack_fake import BOT, TOKEN, FakeSlack
from tests.waiting import eventually

FILES_S = 0.3
E = TypeVar("E")
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ENVIRONMENT = {"SLACK_SIGNING_SECRET": SECRET, "SLACK_BOT_TOKEN": TOKEN}
TEAM, CHANNEL, DIRECT, APPROVALS, HANDOFFS = "T0ACME", "C0HELP", "D0ADA", "C0APPROVE", "C0PEOPLE"
ADA, BOB, EVE = "U0ADA", "U0BOB", "U0EVE"
HOURS = Document("hours.md", "Opening hours", "The branch opens at nine. It is green.")


def config_for(api: str, more: str = "", guests: Sequence[str] = ()) -> SlackConfig:
    text = f"""
        signing_secret = "${{env:SLACK_SIGNING_SECRET}}"
        api = "{api}"
        {more}
        [teams.{TEAM}]
        customer = "acme"
        bot_token = "${{env:SLACK_BOT_TOKEN}}"
        approvals_channel = "{APPROVALS}"
        approvers = ["{BOB}"]
        handoff_channel = "{HANDOFFS}"
        guests = {json.dumps(list(guests))}
    """
    return parse_slack(text, "slack.toml", ENVIRONMENT)


def signed(body: bytes, now_s: float, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(now_s))
    text = f"v0:{stamp}:".encode() + body
    made = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={made}"}


def message(
    ts: str,
    text: str,
    *,
    channel: str = DIRECT,
    user: str = ADA,
    thread_ts: str = "",
    kind: str = "message",
    event_id: str = "",
    **more: Any,
) -> dict[str, Any]:
    """A message event as Slack sends it."""
    event = {"type": kind, "channel": channel, "user": user, "text": text, "ts": ts, **more}
    if thread_ts:
        event["thread_ts"] = thread_ts
    return {
        "type": "event_callback",
        "team_id": TEAM,
        "api_app_id": "A0APP",
        "event_id": event_id or f"Ev{ts}",
        "event_time": int(float(ts)),
        "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
        "event": event,
    }


def pressed(button: Mapping[str, Any], user: str = BOB) -> dict[str, Any]:
    """What Slack sends when somebody presses a button."""
    return {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": user},
        "channel": {"id": APPROVALS},
        "actions": [{"action_id": button["action_id"], "value": button["value"]}],
    }


class Speaker:
    """A model that says the words of its replies as it is let: one `let` for each piece."""

    def __init__(self, *pieces: str) -> None:
        self.name = "scripted"
        self.pieces = pieces
        self.asked = asyncio.Event()
        self._go = asyncio.Semaphore(0)

    def let(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            self._go.release()

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.asked.set()
        for piece in self.pieces:
            await self._go.acquire()
            if prompt.hear is not None:
                prompt.hear(Delta("text", piece))
        await self._go.acquire()
        return Reply("".join(self.pieces), model="scripted")


class Office:
    def __init__(self, found: Opened, fake: FakeSlack, config: SlackConfig, port: int) -> None:
        self.config = config
        self.found = found
        self.slack = fake
        self.refunded: list[Any] = []
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def delivering(self) -> AbstractAsyncContextManager[None]:
        """One more process that tells Slack."""
        return delivering(self.config, self.found.client, pace_s=0, away_s=0.05)

    async def again(self, entry: Entry) -> float | None:
        """A step is handed out that was told before: by a process that died before it said so."""
        apis = {TEAM: SlackApi(Secret(TOKEN), base_url=self.slack.api)}
        deliverer = Deliverer(self.config, self.found.client, apis, pace_s=0, away_s=0)
        try:
            return await deliverer.take(entry, deliveries=2)
        finally:
            apis[TEAM].close()

    @asynccontextmanager
    async def another_door(self, receive: Receive) -> AsyncIterator[Office]:
        """One more gateway, with an inbox of its own."""
        found = self.found
        door = SlackDoor(
            self.config,
            receive=receive,
            log=found.log,
            approvals=found.approvals(),
            files=found.files,
        )
        async with serving(door) as port:
            other = Office(found, self.slack, self.config, port)
            yield other
            await other.close()
        await door.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def refund(self, arguments: Arguments, call: str) -> str:
        self.refunded.append(arguments["amount"])
        return "paid"

    async def post(self, path: str, body: bytes, **headers: str) -> httpx2.Response:
        return await self._http.post(
            path, content=body, headers={**signed(body, time.time()), **headers}
        )

    async def event(self, told: Mapping[str, Any], **headers: str) -> httpx2.Response:
        return await self.post(EVENTS, json.dumps(told).encode(), **headers)

    async def press(self, button: Mapping[str, Any], user: str = BOB) -> httpx2.Response:
        body = urlencode({"payload": json.dumps(pressed(button, user))}).encode()
        return await self.post(INTERACTIVE, body)

    async def says(self, text: str, *, channel: str = DIRECT, thread_ts: str = "") -> Thread:
        """Ada writes on Slack, which tells us; gives the thread."""
        ts = self.slack.say(channel, ADA, text, thread_ts)
        mention = "app_mention" if channel != DIRECT and not thread_ts else "message"
        told = message(ts, text, channel=channel, thread_ts=thread_ts, kind=mention)
        answer = await self.event(told)
        assert answer.status_code == 200, answer.text
        return Thread(TEAM, channel, thread_ts or ts)

    async def steps(self, thread: Thread) -> list[Entry]:
        return await self.found.log.read("acme", thread.conversation)

    async def told(self, thread: Thread, kind: type[E], many: int = 1) -> list[E]:
        """The events of this kind, as soon as there are so many."""

        async def there() -> list[E]:
            events: list[Any] = [step.event for step in await self.steps(thread)]
            found = [event for event in events if isinstance(event, kind)]
            return found if len(found) >= many else []

        return await eventually(there, what=f"{many} {kind.__name__}")

    def ours(self, channel: str = DIRECT) -> list[dict[str, Any]]:
        """The agent's messages there."""
        return [each for each in self.slack.shown(channel) if each["user"] == BOT]

    async def shown(self, channel: str = DIRECT, many: int = 1) -> list[dict[str, Any]]:

        def there() -> list[dict[str, Any]]:
            ours = self.ours(channel)
            return ours if len(ours) >= many else []

        return await eventually(there, what=f"{many} messages in {channel}")

    async def buttons(self) -> dict[str, Any]:
        """The buttons under the last call that waits, by their text."""
        (*_, asked) = await self.shown(APPROVALS)
        elements = asked["blocks"][-1]["elements"]
        return {button["text"]["text"]: button for button in elements}


@asynccontextmanager
async def serving(door: SlackDoor) -> AsyncIterator[int]:
    """The routes on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = Starlette(routes=door.routes())
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def office(
    folder: Path,
    fake: FakeSlack,
    *replies: Reply,
    model: Model | None = None,
    grants: Mapping[str, Grant] | None = None,
    deliver: bool = True,
    more: str = "",
    guests: Sequence[str] = (),
    **agent: Any,
) -> AsyncIterator[Office]:
    """`agent` are further fields of the agent, `more` further lines of slack.toml."""
    config = config_for(fake.api, more, guests)
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(opened(Settings(folder=folder)))
        made: list[Office] = []

        async def refund(arguments: Arguments, call: str) -> str:
            return await made[0].refund(arguments, call)

        parts = Parts(
            knowledge=MemoryKnowledge({"default": [HOURS]}),
            models={"scripted": model or ScriptedModel(replies)},
            tools={"refund_order": FunctionTool(ToolSpec("refund_order", effect="write"), refund)},
        )
        desk = Agent(
            "desk",
            models=("scripted",),
            tools=("refund_order",),
            collections=("default",),
            grants=dict(grants or {}),
            trusted=("default",),
            **agent,
        )
        inbox = await found.inbox(granted(desk, parts))
        door = SlackDoor(
            config,
            receive=inbox.receive,
            log=found.log,
            approvals=found.approvals(),
            files=found.files,
            files_s=FILES_S,
        )
        stack.push_async_callback(door.close)
        port = await stack.enter_async_context(serving(door))
        made.append(Office(found, fake, config, port))
        stack.push_async_callback(made[0].close)
        await stack.enter_async_context(working(found, parts))
        if deliver:
            await stack.enter_async_context(made[0].delivering())
        yield made[0]


def approval(people: int = 1) -> Mapping[str, Grant]:
    return {"refund_order": Grant(approval=Approval(people=people))}


def texts(blocks: Iterable[Mapping[str, Any]] | None) -> str:
    """All that blocks say."""
    return json.dumps(list(blocks or ()), ensure_ascii=False)
