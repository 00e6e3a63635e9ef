"""What is told in other channels than the thread: calls that wait for people, what became of them,
and what was handed on to people.

Who asks keeps the message first and looks into the log then; who knows the decision has it from the
log and looks for the message then. So one of the two takes the buttons away.
"""

from __future__ import annotations

import logging

from stepfold.channels.slack import blocks
from stepfold.channels.slack.api import SlackApi
from stepfold.channels.slack.config import Team
from stepfold.channels.slack.finding import find
from stepfold.channels.slack.keeping import Kept, Shown
from stepfold.channels.slack.names import Thread
from stepfold.channels.slack.naming import Name, post
from stepfold.channels.slack.say import Asked, HandedOff, Settled, outcome
from stepfold.events.envelope import Entry
from stepfold.streams.listening import Happening
from stepfold.streams.log import Log

TEXT_CHARS_MAX = 300
LATE_S = 600.0
"""How long after a step what tells of it may have been posted, where it is looked for."""
log = logging.getLogger("stepfold.slack")


class Elsewhere:
    """For one part of a conversation; `again`: it was begun before."""

    def __init__(
        self, log: Log, api: SlackApi, team: Team, thread: Thread, kept: Kept, *, again: bool
    ) -> None:
        self._log = log
        self._api = api
        self._team = team
        self._thread = thread
        self._kept = kept
        self._again = again

    async def tell(self, happening: Happening, out: Asked | Settled | HandedOff) -> None:
        """SlackError, LogUnavailable."""
        assert isinstance(happening, Entry)
        match out:
            case Asked():
                await self._ask(happening, out)
            case Settled():
                await self._settle(out)
            case HandedOff():
                await self._hand_off(happening, out)

    async def _ask(self, entry: Entry, asked: Asked) -> None:
        channel = self._team.approvals_channel
        if not channel:
            return
        request, conversation = asked.request, self._thread.conversation
        told = blocks.asked(request, conversation, asked.contact, asked.people)
        text = f"{blocks.escaped(request.name)} needs approval"
        await self._once(channel, _ask_key(asked), text, told, entry)
        settled = outcome(await self._log.read(*entry.key), request.call)
        if settled is not None:
            await self._settle(settled)

    async def _hand_off(self, entry: Entry, handed: HandedOff) -> None:
        channel = self._team.handoff_channel
        if not channel:
            return
        who = f"<@{handed.contact}>" if handed.contact else "a contact"
        text = f"A question of {who} was passed on to people"
        why = blocks.escaped_cut(handed.reason, blocks.QUOTE_CHARS_MAX)
        where = f"<#{self._thread.channel}>, {blocks.escaped(self._thread.conversation)}"
        told = [blocks.section(f"{text}."), blocks.context(f"{why} · in {where}")]
        await self._once(channel, f"handoff:{handed.turn}", text, told, entry)

    async def _once(
        self, channel: str, key: str, text: str, told: list[blocks.Block], entry: Entry
    ) -> None:
        """Post it, unless that was done before."""
        if (await self._kept.get(key, again=True)).pages:
            return
        ts = await self._find(channel, key, entry) if self._again else ""
        if not ts:
            name = Name(self._thread.conversation, key)
            text = blocks.cut(text, TEXT_CHARS_MAX)
            ts = await post(self._api, channel, text, told, name=name)
        await self._kept.keep(key, Shown((ts,)))

    async def _settle(self, settled: Settled) -> None:
        """Say under the call what became of it, and take the buttons away."""
        asked, channel = settled.asked, self._team.approvals_channel
        if not channel:
            return
        key, conversation = _ask_key(asked), self._thread.conversation
        pages = (await self._kept.get(key, again=True)).pages
        ts = pages[0] if pages else await self._find(channel, key, asked)
        if not ts:
            log.warning("%s of %s is not in the channel for approvals", key, conversation)
            return
        needs = blocks.escaped(f"{asked.request.name} needs approval")
        if settled.how:
            told = blocks.settled(asked.request, conversation, asked.contact, settled.how)
        else:
            told = blocks.asked(asked.request, conversation, asked.contact, asked.people)
        await self._api.call(
            "chat_update",
            channel=channel,
            ts=ts,
            text=blocks.cut(settled.how or needs, TEXT_CHARS_MAX),
            blocks=told,
            metadata=Name(conversation, key).metadata,
        )

    async def _find(self, channel: str, key: str, since: Entry | Asked) -> str:
        """Its time stamp; empty where it was not posted."""
        since_s = since.at.timestamp()
        conversation = self._thread.conversation
        found = await find(
            self._api, channel, conversation, since_s=since_s, until_s=since_s + LATE_S
        )
        named = found.named.get(key)
        return named.ts if named else ""


def _ask_key(asked: Asked) -> str:
    return f"ask:{asked.request.call}"
