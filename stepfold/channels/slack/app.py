"""The routes that Slack calls. What a contact says is in the log before Slack is told that we have
it; the answer is found and told elsewhere (deliver.py), however long it takes.

    POST /channels/slack/events         messages
    POST /channels/slack/interactive    the buttons under a call that waits
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stepfold.channels.slack import parse
from stepfold.channels.slack.api import SlackApi, SlackAway, SlackError
from stepfold.channels.slack.blocks import escaped
from stepfold.channels.slack.config import SlackConfig, Team
from stepfold.channels.slack.files import FileLost, fetch
from stepfold.channels.slack.names import CHANNEL, PERSON
from stepfold.channels.slack.parse import Challenge, Happened, Ignored, Pressed, Refused, Said
from stepfold.events.envelope import Entry
from stepfold.events.names import NameRefused
from stepfold.events.values import FileRef
from stepfold.handlers.approvals import ApprovalRefused, Approvals
from stepfold.handlers.asking import Files
from stepfold.handlers.inbox import InboxRefused, Message
from stepfold.streams.log import Log, LogError, LogRefused

EVENTS, INTERACTIVE = "/channels/slack/events", "/channels/slack/interactive"
FILES_S = 2.0
"""How long Slack waits for files to be fetched; it gives up after three seconds, and asks again."""
RETRIES_MAX = 3
"""How often Slack asks again."""
DONE_MAX = 10_000
CLOSED = "I cannot go on in this thread. Please start a new one."
TOO_LONG = "Your message is too long for me. Please send a shorter one."
NOT_YOURS = "You are not among those who may approve this."

Receive = Callable[[Message], Awaitable[Entry]]
"""An inbox: InboxRefused where the conversation takes no messages."""
Parse = Callable[..., Happened]
log = logging.getLogger("stepfold.slack")


class SlackDoor:
    """What comes in from Slack. It holds nothing but files that are on their way; `close` it."""

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
        self._receive = receive
        self._log = log
        self._approvals = approvals
        self._files = files
        self._clock = clock
        self._files_s = files_s
        self._apis = {
            team.id: SlackApi(team.bot_token, base_url=config.api) for team in config.teams.values()
        }
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._telling: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        return [
            Route(EVENTS, self.events, methods=["POST"]),
            Route(INTERACTIVE, self.interactive, methods=["POST"]),
        ]

    async def close(self) -> None:
        running = [*self._fetching.values(), *self._telling]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
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

    # -- messages -------------------------------------------------------------------------------

    async def _hear(self, said: Said, retry: int) -> Response:
        team = self._config.teams.get(said.thread.team)
        if team is None:
            return _answer(Ignored(f"workspace {said.thread.team} is in no [teams] of ours"))
        try:
            if not said.addressed and not await self._is_known(said, team):
                return _answer(Ignored("a message in a thread without us"))
            if said.files:
                return await self._hear_files(said, team, last=retry >= RETRIES_MAX)
            await self._append(said, team, ())
        except LogError as error:
            log.warning("a message of Slack waits: %s", error)
            return PlainTextResponse("the log is away: send it again", 503)
        return PlainTextResponse("")

    async def _is_known(self, said: Said, team: Team) -> bool:
        tail = await self._log.tail(team.customer, said.thread.conversation)
        return tail.position > 0

    async def _append(
        self, said: Said, team: Team, files: tuple[FileRef, ...], notes: tuple[str, ...] = ()
    ) -> None:
        message = Message(
            team.customer,
            said.thread.conversation,
            "\n\n".join(text for text in (said.text, *notes) if text),
            said.message,
            contact=said.contact,
            channel=CHANNEL,
            files=files,
        )
        try:
            await self._receive(message)
        except InboxRefused as refused:
            log.info("a message of Slack is not taken: %s", refused)
            self._whisper(said.thread.team, said.thread.channel, said.contact, CLOSED, said)
        except LogRefused as refused:
            log.info("a message of Slack is not taken: %s", refused)
            self._whisper(said.thread.team, said.thread.channel, said.contact, TOO_LONG, said)

    async def _hear_files(self, said: Said, team: Team, *, last: bool) -> Response:
        """Files are kept before they are named. What takes longer than Slack waits goes on here,
        and is there, or nearly, when Slack asks again.
        """
        if said.message in self._done:
            return PlainTextResponse("")
        task = self._fetching.get(said.message)
        if task is None:
            task = asyncio.create_task(self._fetch(said, team, last=last))
            self._fetching[said.message] = task
            task.add_done_callback(lambda done: self._fetched(said.message, done))
        await asyncio.wait({task}, timeout=self._files_s)
        if not task.done():
            return PlainTextResponse("its files are on their way: ask again", 503)
        try:
            await task
        except SlackAway:
            return PlainTextResponse("its files are not to be had now: ask again", 503)
        return PlainTextResponse("")

    async def _fetch(self, said: Said, team: Team, *, last: bool) -> None:
        kept: list[FileRef] = []
        notes: list[str] = []
        for file in said.files:
            try:
                kept.append(
                    await fetch(
                        file, self._config, team.bot_token, self._apis[team.id], self._files
                    )
                )
            except FileLost as lost:
                notes.append(_note(file, str(lost)))
            except SlackAway as away:
                if not last:
                    raise
                notes.append(_note(file, str(away)))
        await self._append(said, team, tuple(kept), tuple(notes))
        self._done[said.message] = None
        if len(self._done) > DONE_MAX:
            self._done.popitem(last=False)

    def _fetched(self, message: str, done: asyncio.Task[None]) -> None:
        self._fetching.pop(message, None)
        if not done.cancelled() and done.exception() is not None:
            log.warning("message %s of Slack waits: %s", message, done.exception())

    # -- buttons --------------------------------------------------------------------------------

    async def _decide(self, pressed: Pressed) -> Response:
        team = self._config.teams.get(pressed.team)
        if team is None:
            return _answer(Ignored(f"workspace {pressed.team} is in no [teams] of ours"))
        if pressed.person not in team.approvers:
            self._whisper(team.id, pressed.channel, pressed.person, NOT_YOURS)
            return PlainTextResponse("")
        key = team.customer, pressed.conversation
        decide = self._approvals.grant if pressed.approve else self._approvals.deny
        person = PERSON + pressed.person
        try:
            await decide(key, pressed.call, digest=pressed.digest, person=person)
        except (ApprovalRefused, NameRefused) as refused:
            self._whisper(team.id, pressed.channel, pressed.person, str(refused))
        except LogError as error:
            log.warning("an approval of Slack is not recorded: %s", error)
            return PlainTextResponse("the log is away: press it again", 503)
        return PlainTextResponse("")

    def _whisper(
        self, team: str, channel: str, user: str, text: str, said: Said | None = None
    ) -> None:
        """Tell one person, after Slack has been answered. What is not told is no loss."""
        where = {"thread_ts": said.thread.ts} if said else {}
        told = escaped(text)

        async def tell() -> None:
            with suppress(SlackError):
                await self._apis[team].call(
                    "chat_postEphemeral", channel=channel, user=user, text=told, **where
                )

        self._spawn(tell())

    def _spawn(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


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


def _note(file: parse.File, why: str) -> str:
    return f"(The file {file.name or file.id!r} was sent with this and could not be taken: {why}.)"
