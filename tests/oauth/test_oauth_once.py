"""However many ask at once, in one process or several, a token is renewed once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from stepfold.streams.log import LogUnavailable
from stepfold.tools.oauth import OAuthCredentials
from stepfold.tools.oauth_errors import NeedsAuthorization, ServerAway
from stepfold.tools.oauth_record import Record, Records
from stepfold.tools.oauth_renewal import LEASE_OLD_S, Renewal
from stepfold.tools.oauth_server import AuthorizationServer, Tokens
from stepfold.tools.oauth_table import Auth
from stepfold.tools.vault import MemoryStore, Secret, Store, Vault, VaultAway
from tests.oauth.caller import CALLERS, hashed
from tests.oauth.flows import CUSTOMER, Watch, auth, authorize, bearer, environ, jetstream, keys
from tests.oauth.provider import Provider
from tests.servers import running
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path: Path, provider: Provider) -> Auth:
    return auth(tmp_path, provider)


def asked(provider: Provider) -> int:
    return provider.asked["refresh_token"]


def reached(provider: Provider, least: int) -> bool:
    return asked(provider) >= least


# -- one process --------------------------------------------------------------------------------


async def test_many_callers_of_one_process_renew_once(
    desk: Auth, provider: Provider, store: Store
) -> None:
    watch = Watch()
    found = OAuthCredentials(desk, Vault(store, keys()), clock=watch)
    await authorize(found)
    watch.pass_(4000)

    got = await asyncio.gather(*(found.headers(CUSTOMER) for _ in range(100)))

    assert asked(provider) == 1
    assert len({bearer(each) for each in got}) == 1
    assert provider.good(bearer(got[0]))


async def test_customers_do_not_wait_for_each_other(desk: Auth, provider: Provider) -> None:
    watch = Watch()
    found = OAuthCredentials(desk, Vault(MemoryStore(), keys()), clock=watch)
    await authorize(found, "acme")
    watch.pass_(4000)
    await authorize(found, "other")
    provider.gate.clear()
    acme = asyncio.create_task(found.headers("acme"))
    await eventually(lambda: asked(provider))

    assert provider.good(bearer(await found.headers("other")))

    provider.gate.set()
    assert provider.good(bearer(await acme))


async def test_a_caller_who_gives_up_does_not_cut_off_the_renewal(
    desk: Auth, provider: Provider, store: Store
) -> None:
    watch = Watch()
    found = OAuthCredentials(desk, Vault(store, keys()), clock=watch)
    await authorize(found)
    watch.pass_(4000)
    provider.gate.clear()
    first = asyncio.create_task(found.headers(CUSTOMER))
    await eventually(lambda: asked(provider))

    first.cancel()
    provider.gate.set()
    await found.close()

    assert provider.good(bearer(await found.headers(CUSTOMER)))
    assert asked(provider) == 1


async def test_clients_of_their_own_get_one_token_for_all(
    provider: Provider, tmp_path: Path, store: Store
) -> None:
    made = auth(tmp_path, provider, "oauth2_client")
    vault = Vault(store, keys())
    processes = [OAuthCredentials(made, vault) for _ in range(4)]

    got = await asyncio.gather(*(each.headers("") for each in processes for _ in range(10)))

    assert provider.asked["client_credentials"] == 1
    assert len({bearer(each) for each in got}) == 1


# -- several ------------------------------------------------------------------------------------


async def test_two_processes_renew_once_each_time_and_both_use_what_was_got(
    desk: Auth, provider: Provider, tmp_path: Path
) -> None:
    with running(tmp_path) as server, ExitStack() as stack:
        async with jetstream(server.url) as store:
            await authorize(OAuthCredentials(desk, Vault(store, keys())))
        callers = [stack.enter_context(calling(tmp_path, server.url)) for _ in range(2)]
        seen = []

        for round_ in (1, 2, 3):
            provider.gate.clear()
            for each in callers:
                await asyncio.to_thread(tell, each, str(4000 * round_))
            assert [await asyncio.to_thread(line, each) for each in callers] == ["asking"] * 2
            await eventually(partial(reached, provider, round_))
            provider.gate.set()
            said = [await asyncio.to_thread(line, each) for each in callers]
            assert said[0] == said[1]
            seen.append(said[0])

    assert asked(provider) == 3
    assert [each.split()[0] for each in seen] == ["1"] * 3, f"of {CALLERS} callers each"
    good = {hashed(each) for each in provider.secrets if provider.good(each)}
    assert [each.split()[1] in good for each in seen] == [True] * 3
    assert len(set(seen)) == 3


@contextmanager
def calling(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.oauth.caller", str(folder), url],
        cwd=ROOT,
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# -- leases -------------------------------------------------------------------------------------


class Leased:
    """A record whose token is over, with a lease on it by a process that is no more."""

    def __init__(self, desk: Auth, watch: Watch) -> None:
        self.vault = Vault(MemoryStore(), keys())
        self.found = OAuthCredentials(desk, self.vault, clock=watch, lease_s=0.3)
        self.records = Records(self.vault, desk.connection)
        self._watch = watch

    async def begin(self, *, age_s: float) -> None:
        await authorize(self.found)
        self._watch.pass_(4000)
        record, revision = await self.records.get(CUSTOMER)
        at = self._watch.now - timedelta(seconds=age_s)
        leased = Record(record.tokens, lease="dead", leased_at=at)
        await self.records.put(CUSTOMER, leased, after=revision)


@pytest.mark.parametrize(("age_s", "waits"), [(0.0, True), (LEASE_OLD_S + 1, False)])
async def test_the_lease_of_a_dead_process_ends(
    desk: Auth, provider: Provider, age_s: float, waits: bool
) -> None:
    leased = Leased(desk, Watch())
    await leased.begin(age_s=age_s)
    clock = asyncio.get_running_loop().time
    begun = clock()

    assert provider.good(bearer(await leased.found.headers(CUSTOMER)))

    assert (clock() - begun > 0.3) == waits
    assert (await leased.records.get(CUSTOMER)).record.lease == ""


async def test_what_the_holder_of_the_lease_gets_is_used_by_who_waits(
    desk: Auth, provider: Provider
) -> None:
    leased = Leased(desk, Watch())
    await leased.begin(age_s=0.0)
    waiting = asyncio.create_task(leased.found.headers(CUSTOMER))
    record, revision = await leased.records.get(CUSTOMER)
    assert record.tokens is not None
    assert record.tokens.refresh is not None
    watch = Watch(4000)
    new = await AuthorizationServer(desk, watch).refresh(record.tokens.refresh, ())

    await leased.records.put(CUSTOMER, Record(new), after=revision)

    assert bearer(await waiting) == new.access.reveal()
    assert asked(provider) == 1


async def test_a_lease_is_given_back_when_the_server_is_away(
    desk: Auth, provider: Provider
) -> None:
    watch = Watch()
    vault = Vault(MemoryStore(), keys())
    await authorize(OAuthCredentials(desk, vault, clock=watch))
    watch.pass_(4000)
    provider.away = True

    with pytest.raises(ServerAway):
        await OAuthCredentials(desk, vault, clock=watch).headers(CUSTOMER)

    provider.away = False
    got = await asyncio.wait_for(OAuthCredentials(desk, vault, clock=watch).headers(CUSTOMER), 5)
    assert provider.good(bearer(got))


async def test_one_that_was_thought_dead_and_is_not_keeps_what_it_got(
    desk: Auth, provider: Provider
) -> None:
    """Another took its lease meanwhile, but has changed nothing else."""
    leased = Leased(desk, Watch())
    await authorize(leased.found)
    leased._watch.pass_(4000)
    provider.gate.clear()
    renewing = asyncio.create_task(leased.found.headers(CUSTOMER))
    await eventually(lambda: asked(provider))
    record, revision = await leased.records.get(CUSTOMER)
    assert record.lease
    taken = Record(record.tokens, lease="another", leased_at=leased._watch.now)
    await leased.records.put(CUSTOMER, taken, after=revision)

    provider.gate.set()

    access = bearer(await renewing)
    assert provider.good(access)
    assert bearer(await leased.found.headers(CUSTOMER)) == access


# -- a store that goes away at the wrong moment -------------------------------------------------


class Away(MemoryStore):
    """A store that is away when it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.refused = 0

    async def put(self, place: str, sealed: bytes, *, after: int) -> int:
        if self.away:
            self.refused += 1
            raise LogUnavailable("the store is away")
        return await super().put(place, sealed, after=after)


async def renewing(
    desk: Auth, provider: Provider, store: Away, save_s: float
) -> tuple[Renewal, asyncio.Task[object]]:
    """A renewal whose answer comes when the store has gone."""
    watch, vault = Watch(), Vault(store, keys())
    await authorize(OAuthCredentials(desk, vault, clock=watch))
    watch.pass_(4000)
    server, records = AuthorizationServer(desk, watch), Records(vault, desk.connection)
    renewal = Renewal(desk, records, server, watch, save_s=save_s)
    provider.gate.clear()
    task: asyncio.Task[object] = asyncio.create_task(renewal.usable(CUSTOMER))
    await eventually(lambda: asked(provider))
    store.away = True
    provider.gate.set()
    return renewal, task


async def test_what_was_got_is_stored_as_soon_as_the_store_is_back(
    desk: Auth, provider: Provider
) -> None:
    store = Away()
    renewal, task = await renewing(desk, provider, store, 10.0)
    await eventually(lambda: store.refused)

    store.away = False

    await task
    assert provider.good((await renewal.usable(CUSTOMER)).access.reveal())
    assert asked(provider) == 1


async def test_and_is_not_lost_when_that_takes_long(desk: Auth, provider: Provider) -> None:
    store = Away()
    renewal, task = await renewing(desk, provider, store, 0.05)
    with pytest.raises(VaultAway):
        await task
    with pytest.raises(VaultAway):
        await renewal.usable(CUSTOMER)

    store.away = False

    got = await asyncio.gather(*(renewal.usable(CUSTOMER) for _ in range(5)))
    assert provider.good(got[0].access.reveal())
    assert asked(provider) == 1


async def test_who_lost_the_race_for_a_refresh_token_uses_the_winners(
    desk: Auth, provider: Provider
) -> None:
    """It is refused, but another has stored a good token meanwhile: no person is asked."""
    leased = Leased(desk, Watch())
    await authorize(leased.found)
    leased._watch.pass_(4000)
    provider.gate.clear()
    loser = asyncio.create_task(leased.found.headers(CUSTOMER))
    await eventually(lambda: asked(provider))
    provider.withdraw()
    won = Tokens(access=Secret("of-the-winner"), at=leased._watch.now)
    _, revision = await leased.records.get(CUSTOMER)
    await leased.records.put(CUSTOMER, Record(won), after=revision)

    provider.gate.set()

    assert bearer(await loser) == "of-the-winner"
    assert (await leased.found.status(CUSTOMER)).state == "authorized"


class Racing(MemoryStore):
    """A store in which `first` happens right before something is forgotten."""

    first: Callable[[], Awaitable[object]] | None = None

    async def put(self, place: str, sealed: bytes, *, after: int) -> int:
        if not sealed and self.first is not None:
            first, self.first = self.first, None
            await first()
        return await super().put(place, sealed, after=after)


async def test_what_is_renewed_while_it_is_revoked_is_revoked_too(
    desk: Auth, provider: Provider
) -> None:
    store, watch = Racing(), Watch()
    quiet = replace(desk, revoke_url="")
    found, other = (OAuthCredentials(quiet, Vault(store, keys()), clock=watch) for _ in range(2))
    await authorize(found)
    watch.pass_(4000)
    store.first = partial(other.headers, CUSTOMER)

    await found.revoke(CUSTOMER)

    assert asked(provider) == 1
    assert (await found.status(CUSTOMER)).state == "not authorized"


async def test_who_was_never_authorized_asks_nobody(desk: Auth, provider: Provider) -> None:
    found = OAuthCredentials(desk, Vault(MemoryStore(), keys()))

    with pytest.raises(NeedsAuthorization):
        await found.headers(CUSTOMER)
    assert not provider.asked
