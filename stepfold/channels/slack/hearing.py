"""What contacts say on Slack, into the log. Files are fetched and kept before a message names them.

A message that neither mentions the agent nor comes in a thread of its own is nobody's, unless it
only came before the mention that it follows: so when a conversation begins, Slack is asked what was
said after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from stepfold.channels.slack import parse
from stepfold.channels.slack.api import SlackApi, SlackAway, SlackError
from stepfold.channels.slack.config import SlackConfig, Team
from stepfold.channels.slack.files import FileLost, fetch
from stepfold.channels.slack.finding import listed
from stepfold.channels.slack.happened import File, Said
from stepfold.channels.slack.names import CHANNEL
from stepfold.channels.slack.whispering import Whispers
from stepfold.events.envelope import Entry
from stepfold.events.values import FileRef
from stepfold.handlers.asking import Files
from stepfold.handlers.inbox import InboxRefused, Message
from stepfold.handlers.states import Known, advance
from stepfold.streams.ending import end
from stepfold.streams.log import Log, LogError, LogRefused

RETRIES_MAX = 3
"""How often Slack asks again."""
DONE_MAX = 10_000
CLOSED = "I cannot go on in this thread. Please start a new one."
TOO_LONG = "Your message is too long for me. Please send a shorter one."

Receive = Callable[[Message], Awaitable[Entry]]
"""An inbox: InboxRefused where the conversation takes no messages, or not now."""
log = logging.getLogger("stepfold.slack")


class TooBusy(Exception):
    """The conversation takes no message now: it is to be sent again."""


class World(Struct, frozen=True):
    """What hearing needs of the world; `apis` by workspace."""

    config: SlackConfig
    receive: Receive
    log: Log
    files: Files
    apis: Mapping[str, SlackApi]
    whispers: Whispers


class Hearing:
    """It holds nothing but files that are on their way; `close` it."""

    def __init__(self, world: World, *, files_s: float) -> None:
        self._world = world
        self._files_s = files_s
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._catching_up: set[asyncio.Task[None]] = set()
        self._done: OrderedDict[str, None] = OrderedDict()

    async def close(self) -> None:
        await end(*self._fetching.values(), *self._catching_up)

    async def hear(self, said: Said, team: Team, *, retry: int) -> str:
        """Why it is to be sent again; empty where it is not. `retry`: how often it was."""
        if said.home and said.home not in team.guests:
            log.info("workspace %s is no guest of %s: nobody hears it", said.home, team.id)
            return ""
        try:
            if not said.addressed and not await self._is_known(said, team):
                log.debug("nothing for an agent: a message in a thread without us")
            elif said.files:
                return await self._hear_files(said, team, last=retry >= RETRIES_MAX)
            else:
                await self._append(said, team, ())
        except (LogError, TooBusy) as error:
            log.warning("a message of Slack waits: %s", error)
            return "it is not in the log: send it again"
        return ""

    async def _is_known(self, said: Said, team: Team) -> bool:
        tail = await self._world.log.tail(team.customer, said.thread.conversation)
        return tail.position > 0

    async def _append(
        self, said: Said, team: Team, files: tuple[FileRef, ...], notes: tuple[str, ...] = ()
    ) -> None:
        """LogError, TooBusy."""
        begins = not said.thread.direct and not await self._is_known(said, team)
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
            await self._world.receive(message)
        except InboxRefused as refused:
            if not await self._is_closed(said, team):
                raise TooBusy(str(refused)) from None
            self._refuse(said, CLOSED, refused)
        except LogRefused as refused:
            self._refuse(said, TOO_LONG, refused)
        if begins:
            task = asyncio.create_task(self._catch_up(said, team))
            self._catching_up.add(task)
            task.add_done_callback(self._catching_up.discard)

    async def _is_closed(self, said: Said, team: Team) -> bool:
        entries = await self._world.log.read(team.customer, said.thread.conversation)
        state = advance(Known(), entries).state
        return bool(state.stopped or state.origin)

    def _refuse(self, said: Said, text: str, why: Exception) -> None:
        log.info("a message of Slack is not taken: %s", why)
        thread = said.thread
        self._world.whispers.tell(
            thread.team, thread.channel, said.contact, text, thread_ts=thread.ts
        )

    # -- what came too early --------------------------------------------------------------------

    async def _catch_up(self, said: Said, team: Team) -> None:
        """Hear what was said after this in its thread, and was nobody's when it came."""
        thread, api = said.thread, self._world.apis[team.id]
        asked = {"channel": thread.channel, "oldest": said.ts}
        try:
            async for message in listed(api, asked, thread.ts):
                reply = parse.reply(message, said)
                if isinstance(reply, Said) and float(reply.ts) > float(said.ts):
                    await self.hear(reply, team, retry=RETRIES_MAX)
        except SlackError as error:
            log.warning("what was said early in %s is not heard: %s", thread.conversation, error)

    # -- files ----------------------------------------------------------------------------------

    async def _hear_files(self, said: Said, team: Team, *, last: bool) -> str:
        """Files are kept before they are named. What takes longer than Slack waits goes on here,
        and is there, or nearly, when Slack asks again.
        """
        if said.message in self._done:
            return ""
        task = self._fetching.get(said.message)
        if task is None:
            task = asyncio.create_task(self._fetch(said, team, last=last))
            self._fetching[said.message] = task
            task.add_done_callback(lambda done: self._fetched(said.message, done))
        await asyncio.wait({task}, timeout=self._files_s)
        if not task.done():
            return "its files are on their way: ask again"
        try:
            await task
        except SlackAway:
            return "its files are not to be had now: ask again"
        return ""

    async def _fetch(self, said: Said, team: Team, *, last: bool) -> None:
        kept: list[FileRef] = []
        notes: list[str] = []
        world, api = self._world, self._world.apis[team.id]
        for file in said.files:
            try:
                kept.append(await fetch(file, world.config, team.bot_token, api, world.files))
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


def _note(file: File, why: str) -> str:
    return f"(The file {file.name or file.id!r} was sent with this and could not be taken: {why}.)"
