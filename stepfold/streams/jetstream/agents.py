"""Every version of every agent, kept in a stream of its own by digest."""

from __future__ import annotations

from nats.aio.client import Client

from stepfold.policy.agent import Agent, decode_agent, digest, encode_agent
from stepfold.streams.config import AGENTS
from stepfold.streams.jetstream.connection import TIMEOUT_S, unavailable
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.log import AgentUnknown

CURRENT = f"{AGENTS}.current"
"""Where the log keeps the agent that new conversations get, beside every version by its digest."""


class JetStreamAgents:
    def __init__(self, client: Client) -> None:
        self._js = client.jetstream(timeout=TIMEOUT_S)
        self._gets = Gets(client, TIMEOUT_S)

    async def put(self, agent: Agent) -> str:
        name = digest(agent)
        where = "agents." + name.replace(":", "-")
        if await self._gets.last(AGENTS, where) is None:
            with unavailable(f"agent {agent.name!r} was not kept"):
                await self._js.publish(where, encode_agent(agent), stream=AGENTS)
        return name

    async def appoint(self, agent: Agent) -> None:
        """From now on new conversations get this version of `agent`, whoever starts them."""
        await self.put(agent)
        with unavailable(f"agent {agent.name!r} was not appointed"):
            await self._js.publish(CURRENT, encode_agent(agent), stream=AGENTS)

    async def appointed(self) -> Agent | None:
        found = await self._gets.last(AGENTS, CURRENT)
        return decode_agent(found.data) if found else None

    async def get(self, digest: str) -> Agent:
        found = await self._gets.last(AGENTS, "agents." + digest.replace(":", "-"))
        if found is None:
            raise AgentUnknown(f"no agent with digest {digest} was ever kept in this log")
        return decode_agent(found.data)
