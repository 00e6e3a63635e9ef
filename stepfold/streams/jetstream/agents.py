"""Every version of every agent, kept in a stream of its own by digest."""

from __future__ import annotations

from nats.aio.client import Client

from stepfold.policy.agent import Agent, decode_agent, encode_agent
from stepfold.streams.config import AGENTS
from stepfold.streams.jetstream.shelf import JetStreamShelf
from stepfold.streams.log import AgentUnknown


class JetStreamAgents:
    def __init__(self, client: Client) -> None:
        self._shelf = JetStreamShelf(client, AGENTS, AGENTS)

    async def put(self, agent: Agent) -> str:
        return await self._shelf.put(encode_agent(agent))

    async def appoint(self, agent: Agent) -> None:
        """From now on new conversations get this version of `agent`, whoever starts them."""
        await self._shelf.appoint(encode_agent(agent))

    async def appointed(self) -> Agent | None:
        raw = await self._shelf.appointed()
        return decode_agent(raw) if raw else None

    async def get(self, digest: str) -> Agent:
        raw = await self._shelf.get(digest)
        if raw is None:
            raise AgentUnknown(f"no agent with digest {digest} was ever kept in this log")
        return decode_agent(raw)
