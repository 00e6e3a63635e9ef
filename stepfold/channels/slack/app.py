"""The routes that Slack calls. What a contact says is in the log before Slack is told that we have
it; the answer is found and told elsewhere (deliver.py), however long it takes.

    POST /channels/slack/events         messages
    POST /channels/slack/interactive    the buttons under a call that waits
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stepfold.channels.slack import parse
from stepfold.channels.slack.api import SlackApi
from stepfold.channels.slack.config import SlackConfig
from stepfold.channels.slack.happened import (
    Challenge,
    Happened,
    Ignored,
    Pressed,
    Refused,
    Said,
)
from stepfold.channels.slack.hearing import Hearing, Receive, World
from stepfold.channels.slack.names import PERSON
from stepfold.channels.slack.whispering import Whispers
from stepfold.events.names import NameRefused
from stepfold.handlers.approvals import ApprovalRefused, Approvals
from stepfold.handlers.asking import Files
from stepfold.streams.log import Log, LogError

EVENTS, INTERACTIVE = "/channels/slack/events", "/channels/slack/interactive"
FILES_S = 2.0
"""How long Slack waits for files to be fetched; it gives up after three seconds, and asks again."""
NOT_YOURS = "You are not among those who may approve this."

Parse = Callable[..., Happened]
log = logging.getLogger("stepfold.slack")


class SlackDoor:
    """What comes in from Slack; `close` it."""

    def __init__(
        self,
        config: SlackConfig,
        *,
        receive: Receive,
        log: Log,
        approvals: Approvals,
        files: Files,
        clock: Callable[[], float] = time.time,
        files_s: float = FILES_S,
    ) -> None:
        self._config = config
        self._approvals = approvals
        self._clock = clock
        self._apis = {
            team.id: SlackApi(team.bot_token, base_url=config.api) for team in config.teams.values()
        }
        self._whispers = Whispers(self._apis)
        world = World(config, receive, log, files, self._apis, self._whispers)
        self._hearing = Hearing(world, files_s=files_s)

    def routes(self) -> list[Route]:
        return [
            Route(EVENTS, self.events, methods=["POST"]),
            Route(INTERACTIVE, self.interactive, methods=["POST"]),
        ]

    async def close(self) -> None:
        await self._hearing.close()
        await self._whispers.close()
        for api in self._apis.values():
            api.close()

    async def events(self, request: Request) -> Response:
        match await self._parsed(request, parse.events):
            case Said() as said:
                return await self._hear(said, _retry(request))
            case Challenge(text=text):
                return PlainTextResponse(text)
            case other:
                return _answer(other)

    async def interactive(self, request: Request) -> Response:
        match await self._parsed(request, parse.interactive):
            case Pressed() as pressed:
                return await self._decide(pressed)
            case other:
                return _answer(other)

    async def _parsed(self, request: Request, read: Parse) -> Happened:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > parse.BODY_BYTES_MAX:
                break
        secret = self._config.signing_secret.reveal()
        return read(body, request.headers, secret=secret, now_s=self._clock())

    async def _hear(self, said: Said, retry: int) -> Response:
        team = self._config.teams.get(said.thread.team)
        if team is None:
            return _answer(Ignored(f"workspace {said.thread.team} is in no [teams] of ours"))
        again = await self._hearing.hear(said, team, retry=retry)
        return PlainTextResponse(again, 503 if again else 200)

    async def _decide(self, pressed: Pressed) -> Response:
        team = self._config.teams.get(pressed.team)
        if team is None:
            return _answer(Ignored(f"workspace {pressed.team} is in no [teams] of ours"))
        if pressed.person not in team.approvers:
            self._whispers.tell(team.id, pressed.channel, pressed.person, NOT_YOURS)
            return PlainTextResponse("")
        key = team.customer, pressed.conversation
        decide = self._approvals.grant if pressed.approve else self._approvals.deny
        person = PERSON + pressed.person
        try:
            await decide(key, pressed.call, digest=pressed.digest, person=person)
        except (ApprovalRefused, NameRefused) as refused:
            self._whispers.tell(team.id, pressed.channel, pressed.person, str(refused))
        except LogError as error:
            log.warning("an approval of Slack is not recorded: %s", error)
            return PlainTextResponse("the log is away: press it again", 503)
        return PlainTextResponse("")


def _retry(request: Request) -> int:
    told = request.headers.get("x-slack-retry-num", "")
    return int(told) if told.isdecimal() and len(told) < len("1000") else 0


def _answer(happened: Happened) -> Response:
    if isinstance(happened, Refused):
        log.warning("a request that should be Slack's is refused: %s", happened.reason)
        return PlainTextResponse(happened.reason, happened.status)
    if isinstance(happened, Ignored):
        log.debug("nothing for an agent: %s", happened.reason)
    return PlainTextResponse("")
