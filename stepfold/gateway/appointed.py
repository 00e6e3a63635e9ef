"""The agent of new conversations, and the inbox that begins them with it."""

from __future__ import annotations

import time

from stepfold.app import Opened
from stepfold.events.envelope import Entry
from stepfold.handlers.inbox import Inbox, Message
from stepfold.policy.agent import Agent

APPOINTED_S = 1.0
"""How long the appointed agent is believed to be the same."""


class Appointed:
    """Who is appointed now, without asking the log each time."""

    def __init__(self, found: Opened) -> None:
        self._found = found
        self._known: tuple[float, Agent, Inbox] | None = None

    async def now(self) -> tuple[Agent, Inbox]:
        """LogUnavailable, AgentUnknown."""
        now, known = time.monotonic(), self._known
        if known is not None and now - known[0] <= APPOINTED_S:
            return known[1], known[2]
        agent = await self._found.appointed()
        same = known is not None and known[1] == agent
        inbox = known[2] if known and same else await self._found.inbox(agent)
        self._known = now, agent, inbox
        return agent, inbox

    async def receive(self, message: Message) -> Entry:
        """Take a message for the agent that is appointed now."""
        _, inbox = await self.now()
        return await inbox.receive(message)
