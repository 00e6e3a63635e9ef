"""A log with conversations, its views, and a gateway with the dashboard on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import httpx2

from stepfold.app import Opened, opened
from stepfold.cli.viewing import own_views
from stepfold.gateway.dashboard import routes
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import Guard
from stepfold.gateway.keys import Keys, keys_of
from stepfold.gateway.limits import Limiting, Limits
from stepfold.gateway.principal import APPROVE, OPERATOR, READ
from stepfold.gateway.serving import serving
from stepfold.gateway.table import DOORS
from stepfold.gateway.web import Gateway
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.budget import Budget, Budgets, accounts, encode_budgets
from stepfold.settings import Settings
from stepfold.streams.log import Balance
from stepfold.streams.memory import utc_now
from stepfold.tools.vault import Keys as Seal
from tests.gateway.dashboard_sample import AGENT, OLDER, Told, sample, tell
from tests.gateway.house import with_keys

LIMIT_S = 20.0
SEAL = Seal([b"0123456789abcdef0123456789abcdef"])
TOKEN = re.compile(r'name="token" value="([^"]+)"')


class Stage:
    """`url` is where the dashboard is; who cancels `views` takes their owner away."""

    def __init__(
        self, found: Opened, url: str, keys: Keys, views: asyncio.Task[None], stack: AsyncExitStack
    ) -> None:
        self.found = found
        self.views = views
        self.url = url
        self.keys = keys
        self._stack = stack

    async def key(
        self, customer: str = "acme", scopes: Sequence[str] = (READ, APPROVE), name: str = "Ines"
    ) -> str:
        """An operator's when it is of no customer."""
        wanted = tuple(scopes) if customer else (OPERATOR,)
        return (await self.keys.create(customer, wanted, name=name))[1]

    async def stranger(self) -> httpx2.AsyncClient:
        """A browser that is not signed in."""
        client = httpx2.AsyncClient(base_url=self.url, timeout=LIMIT_S, verify=False)
        return await self._stack.enter_async_context(client)

    async def operator(self, name: str = "Operator") -> httpx2.AsyncClient:
        return await self.signed_in(await self.key("", name=name))

    async def signed_in(self, key: str) -> httpx2.AsyncClient:
        client = await self.stranger()
        answer = await sign_in(client, key)
        assert answer.status_code == 303, answer.text
        return client


async def sign_in(client: httpx2.AsyncClient, key: str, next: str = "") -> httpx2.Response:
    page = await client.get("/sign-in", params={"next": next} if next else None)
    return await client.post("/sign-in", data={"key": key, "token": token(page), "next": next})


def token(page: httpx2.Response) -> str:
    found = TOKEN.search(page.text)
    assert found is not None, page.text[:2_000]
    return found[1]


@asynccontextmanager
async def stage(folder: Path, told: Sequence[Told] | None = None) -> AsyncIterator[Stage]:
    here = Settings(folder=folder)
    async with opened(here) as found, AsyncExitStack() as stack:
        await with_keys(found)
        await found.agents.put(OLDER)
        await found.agents.appoint(AGENT)
        await tell(found.log, sample(utc_now()) if told is None else told)
        if told is None or told:
            await _budget(found)
        ready = asyncio.Event()
        views = asyncio.create_task(own_views(found, here, ready))
        stack.callback(views.cancel)
        await asyncio.wait_for(ready.wait(), LIMIT_S)
        url = await stack.enter_async_context(_served(found))
        yield Stage(found, url, keys_of(found), views, stack)


async def _budget(found: Opened) -> None:
    """acme may spend 5 dollars a month, and has spent 4.12."""
    budgets = Budgets((Budget("customer", Decimal(5), name="acme"),))
    await found.budgets.appoint(encode_budgets(budgets))
    (account,) = accounts(budgets, "acme", "", "", utc_now())
    await found.balances.put(account.name, Balance(Decimal("4.12")))


@asynccontextmanager
async def _served(found: Opened) -> AsyncIterator[str]:
    front, keys, limits = Front(found, MemoryKnowledge({})), keys_of(found), Limiting(Limits())
    gateway = Gateway(
        front, Guard(front, keys, None, limits), DOORS, mounts=routes(front, keys, SEAL, limits)
    )
    async with serving(gateway, "127.0.0.1", 0) as url:
        yield f"{url}/dashboard"
