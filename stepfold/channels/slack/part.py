"""A part of a conversation while it is told: its messages in the thread, what people are asked in
the channel for approvals, and the receipt in the log.

`again` says that it was begun before, so that what is on Slack already is looked for.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from stepfold.channels.slack import blocks
from stepfold.channels.slack.api import SlackApi, SlackError, SlackRefused
from stepfold.channels.slack.config import Team
from stepfold.channels.slack.names import CHANNEL, Thread
from stepfold.channels.slack.posts import Found, Post, find, named, post
from stepfold.channels.slack.say import Asked, HandedOff, Out, Settled
from stepfold.channels.slack.screen import Screen
from stepfold.events.envelope import Draft, Entry, follow
from stepfold.events.event import ResponseDelivered
from stepfold.streams.listening import Happening
from stepfold.streams.log import Log, LogConflict, LogUnavailable

RACES_MAX = 100
THINKS = "is thinking…"
log = logging.getLogger("stepfold.slack")


class Part:
    """`found` is what of it was on Slack before, `delivered` the turns whose receipt is in the
    log.
    """

    def __init__(
        self,
        log: Log,
        api: SlackApi,
        team: Team,
        thread: Thread,
        found: Found,
        delivered: frozenset[int],
        *,
        again: bool,
    ) -> None:
        self._log = log
        self._api = api
        self._team = team
        self._thread = thread
        self._found = found
        self._delivered = delivered
        self._again = again
        self._left = found.open
        self._contact = ""
        self._untold: SlackRefused | None = None
        self._post: Post | None = None
        self._wanted: Screen | None = None

    @property
    def open(self) -> bool:
        """Whether a message is being written."""
        return self._post is not None

    async def thinks(self) -> None:
        """Where Slack shows such things, and for as long as nothing is said."""
        if self._again:
            return
        with suppress(SlackError):
            await self._api.call(
                "assistant_threads_setStatus",
                channel_id=self._thread.channel,
                thread_ts=self._thread.ts,
                status=THINKS,
            )

    async def take(self, happening: Happening, contact: str, outs: tuple[Out, ...]) -> None:
        """What is to be seen of a happening. Words wait for `flush`; what is over does not."""
        self._contact = contact
        for out in outs:
            match out:
                case Screen():
                    await self.show(out)
                    if out.over and out.answers and isinstance(happening, Entry):
                        await self._receipt(happening, out)
                case _:
                    await self._elsewhere(happening, out)

    async def flush(self) -> None:
        """Bring the message to what it is to show by now."""
        screen = self._wanted
        if screen is None or self._is_told(screen):
            return
        if self._post is None:
            self._post = self._new_post()
        await self._post.bring(screen)

    def complete(self) -> None:
        """SlackRefused: something could not be said in another channel. The thread has the rest."""
        if self._untold is not None:
            raise self._untold

    async def close(self) -> None:
        if self._post is not None:
            await self._post.close()

    # -- the thread -----------------------------------------------------------------------------

    def _new_post(self) -> Post:
        """A message; the one that was left unfinished, if there is one."""
        left, self._left = self._left, ""
        conversation = self._thread.conversation
        return Post(self._api, self._thread, self._contact, conversation, ts=left)

    def _is_told(self, screen: Screen) -> bool:
        return screen.key in self._found.over or screen.turn in self._delivered

    async def show(self, screen: Screen) -> None:
        """Show it when it is time to; at once what is over."""
        if self._wanted is not None and self._wanted.key != screen.key:
            await self.close()
            self._post = None
        self._wanted = screen
        if screen.over:
            await self.flush()

    async def _receipt(self, answer: Entry, screen: Screen) -> None:
        """Record that the answer was delivered, and as what: once."""
        turn = screen.turn
        over = self._found.over.get(screen.key, "")
        ts = over or (self._post.ts if self._post else "")
        self._post = self._wanted = None
        if turn in self._delivered:
            return
        (draft,) = follow(answer, CHANNEL, [ResponseDelivered(turn, CHANNEL, ts)])
        self._delivered |= await self._append(draft, turn)

    async def _append(self, draft: Draft, turn: int) -> frozenset[int]:
        key = draft.customer, draft.conversation
        for _ in range(RACES_MAX):
            entries = await self._log.read(*key)
            if any(e.event.turn == turn for e in entries if isinstance(e.event, ResponseDelivered)):
                return frozenset({turn})
            try:
                await self._log.append([draft], after=entries[-1].position)
            except LogConflict:
                continue
            return frozenset({turn})
        raise LogUnavailable(f"conversation {'/'.join(key)} is too busy for a receipt")

    # -- other channels -------------------------------------------------------------------------

    async def _elsewhere(self, happening: Happening, out: Asked | Settled | HandedOff) -> None:
        try:
            match out:
                case Asked():
                    await self._ask(happening, out)
                case Settled():
                    await self._settle(out)
                case HandedOff():
                    await self._hand_off(happening, out)
        except SlackRefused as refused:
            self._untold = refused

    async def _ask(self, happening: Happening, asked: Asked) -> None:
        request, conversation = asked.request, self._thread.conversation
        told = blocks.asked(request, conversation, asked.contact, asked.people)
        text = f"{blocks.escaped(request.name)} needs approval"
        await self._once(self._team.approvals_channel, f"ask:{request.call}", text, told, happening)

    async def _hand_off(self, happening: Happening, handed: HandedOff) -> None:
        who = f"<@{handed.contact}>" if handed.contact else "a contact"
        text = f"A question of {who} was passed on to people"
        why = blocks.escaped_cut(handed.reason, blocks.QUOTE_CHARS_MAX)
        where = f"<#{self._thread.channel}>, {blocks.escaped(self._thread.conversation)}"
        told = [blocks.section(f"{text}."), blocks.context(f"{why} · in {where}")]
        await self._once(
            self._team.handoff_channel, f"handoff:{handed.turn}", text, told, happening
        )

    async def _once(
        self, channel: str, key: str, text: str, told: list[blocks.Block], happening: Happening
    ) -> None:
        """Post it, unless that was done before."""
        if not channel:
            return
        if self._again and key in (await self._find(channel, happening)).over:
            return
        name = self._thread.conversation, key
        await post(self._api, channel, blocks.cut(text, 300), told, name=name)

    async def _settle(self, settled: Settled) -> None:
        """Say under the call what became of it, and take the buttons away."""
        asked, channel = settled.asked, self._team.approvals_channel
        if not channel:
            return
        key, conversation = f"ask:{asked.request.call}", self._thread.conversation
        needs = blocks.escaped(f"{asked.request.name} needs approval")
        ts = (await self._find(channel, asked)).over.get(key)
        if ts is None:
            log.warning("%s of %s is not in the channel for approvals", key, conversation)
            return
        if settled.how:
            told = blocks.settled(asked.request, conversation, asked.contact, settled.how)
        else:
            told = blocks.asked(asked.request, conversation, asked.contact, asked.people)
        await self._api.call(
            "chat_update",
            channel=channel,
            ts=ts,
            text=blocks.cut(settled.how or needs, 300),
            blocks=told,
            metadata=named(conversation, key),
        )

    async def _find(self, channel: str, since: Happening | Asked) -> Found:
        assert isinstance(since, Entry | Asked)
        return await find(
            self._api, channel, self._thread.conversation, since_s=since.at.timestamp()
        )
