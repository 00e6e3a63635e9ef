"""A person authorizes, tokens are renewed and taken back: against a real authorization server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from stepfold.tools.guard import ReachRefused
from stepfold.tools.oauth import YOUNG_S, OAuthConnections, OAuthCredentials
from stepfold.tools.oauth_code import PENDING_S
from stepfold.tools.oauth_errors import (
    AuthorizationRefused,
    AuthTableRefused,
    NeedsAuthorization,
    NotOurs,
    ServerAway,
    ServerRefused,
)
from stepfold.tools.oauth_table import Auth
from stepfold.tools.vault import MemoryStore, Secret, Store, Vault
from tests.oauth.flows import (
    CUSTOMER,
    ENVIRONMENT,
    NAME,
    Watch,
    auth,
    authorize,
    bearer,
    browse,
    keys,
)
from tests.oauth.provider import REDIRECT, Provider, serving


class Flow:
    """Credentials of one connection on one store, with a clock of their own."""

    def __init__(self, auth: Auth, store: Store) -> None:
        self.auth = auth
        self.watch = Watch()
        self.vault = Vault(store, keys())
        self.found = self.another(auth)

    def another(self, auth: Auth | None = None) -> OAuthCredentials:
        return OAuthCredentials(auth or self.auth, self.vault, clock=self.watch)


@pytest.fixture
async def flow(provider: Provider, store: Store, tmp_path: Path) -> AsyncIterator[Flow]:
    made = Flow(auth(tmp_path, provider), store)
    yield made
    await made.found.close()


def memory(folder: Path, provider: Provider, kind: str, *lines: str) -> Flow:
    return Flow(auth(folder, provider, kind, *lines), MemoryStore())


# -- authorization code -------------------------------------------------------------------------


async def test_a_person_says_yes_and_requests_carry_the_token(
    flow: Flow, provider: Provider
) -> None:
    access = await authorize(flow.found)

    assert provider.good(access)
    assert provider.scopes == ["tickets:read offline"]
    assert await flow.another().headers(CUSTOMER) == {"Authorization": f"Bearer {access}"}


async def test_the_address_asks_for_a_code_with_pkce(flow: Flow, provider: Provider) -> None:
    asked = parse_qs(urlsplit(await flow.found.authorizing.begin(CUSTOMER, REDIRECT)).query)

    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [REDIRECT]
    assert len(asked["code_challenge"][0]) == 43
    assert len(asked["state"][0]) >= 43
    assert "client_secret" not in asked


async def test_each_customer_has_tokens_of_its_own(flow: Flow) -> None:
    acme, other = await authorize(flow.found, "acme"), await authorize(flow.found, "other")

    assert bearer(await flow.found.headers("acme")) == acme != other
    assert await flow.found.holders() == ("acme", "other")
    with pytest.raises(NeedsAuthorization, match=r"authorize desk --customer third`"):
        await flow.found.headers("third")


async def test_without_a_customer_there_is_no_token(flow: Flow) -> None:
    with pytest.raises(NeedsAuthorization, match="this call is for none"):
        await flow.found.headers("")


async def test_a_shared_one_is_for_all(provider: Provider, tmp_path: Path) -> None:
    shared = replace(auth(tmp_path, provider), shared=True)
    found = Flow(shared, MemoryStore()).found

    access = await authorize(found, "")

    assert bearer(await found.headers("acme")) == bearer(await found.headers("other")) == access


async def test_a_state_that_was_not_given_is_refused_and_ends_nothing(
    flow: Flow, provider: Provider
) -> None:
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))
    state = parse_qs(urlsplit(back).query)["state"][0]

    for wrong in (back.replace(state, "other"), back.replace(state, ""), f"{REDIRECT}?code=x"):
        with pytest.raises(NotOurs, match="the state is not the one that was given"):
            await flow.found.authorizing.finish(CUSTOMER, wrong)

    assert provider.asked["authorization_code"] == 0
    await flow.found.authorizing.finish(CUSTOMER, back)


async def test_a_state_counts_for_the_customer_for_whom_it_was_made(flow: Flow) -> None:
    mine = await browse(await flow.found.authorizing.begin("acme", REDIRECT))
    await flow.found.authorizing.begin("other", REDIRECT)

    with pytest.raises(NotOurs):
        await flow.found.authorizing.finish("other", mine)
    with pytest.raises(AuthorizationRefused, match="no authorization is open"):
        await flow.found.authorizing.finish("third", mine)


async def test_an_answer_counts_once(flow: Flow, provider: Provider) -> None:
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))

    ends = await asyncio.gather(
        *(flow.another().authorizing.finish(CUSTOMER, back) for _ in range(8)),
        return_exceptions=True,
    )

    refused = [end for end in ends if isinstance(end, AuthorizationRefused)]
    assert len(refused) == 7
    assert all("used already" in str(end) for end in refused)
    assert provider.asked["authorization_code"] == 1
    assert provider.good(bearer(await flow.found.headers(CUSTOMER)))


async def test_a_code_that_is_replayed_into_a_new_authorization_is_refused(
    flow: Flow, provider: Provider
) -> None:
    used = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))
    await flow.found.authorizing.finish(CUSTOMER, used)
    begun = await flow.found.authorizing.begin(CUSTOMER, REDIRECT)
    old, new = (parse_qs(urlsplit(each).query)["state"][0] for each in (used, begun))

    with pytest.raises(ServerRefused, match=r"refuses: invalid_grant \(a code counts once\)"):
        await flow.found.authorizing.finish(CUSTOMER, used.replace(old, new))


async def test_the_verifier_goes_with_its_own_code_only(flow: Flow, provider: Provider) -> None:
    """A code that was stolen from another's authorization: PKCE."""
    stolen = await browse(await flow.found.authorizing.begin("other", REDIRECT))
    mine = await browse(await flow.found.authorizing.begin("acme", REDIRECT))
    theirs, own = (parse_qs(urlsplit(each).query)["code"][0] for each in (stolen, mine))

    with pytest.raises(ServerRefused, match=r"invalid_grant \(PKCE\)"):
        await flow.found.authorizing.finish("acme", mine.replace(own, theirs))


@pytest.mark.parametrize(
    "elsewhere", ["http://127.0.0.1:8976/other", "http://evil.example/callback", "callback"]
)
async def test_the_browser_must_come_back_to_exactly_that_address(
    flow: Flow, elsewhere: str
) -> None:
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))

    with pytest.raises(NotOurs, match="came back to another address"):
        await flow.found.authorizing.finish(CUSTOMER, back.replace(REDIRECT, elsewhere))


async def test_a_parameter_that_stands_twice_is_refused(flow: Flow) -> None:
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))

    with pytest.raises(NotOurs, match="twice"):
        await flow.found.authorizing.finish(CUSTOMER, f"{back}&code=another")


async def test_a_person_who_says_no_is_told_as_that(flow: Flow, provider: Provider) -> None:
    provider.denies = True
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))

    with pytest.raises(AuthorizationRefused, match=r"access_denied \(The person said no\.\)"):
        await flow.found.authorizing.finish(CUSTOMER, back)
    with pytest.raises(AuthorizationRefused, match="begin again"):
        await flow.found.authorizing.finish(CUSTOMER, back)


async def test_an_answer_that_comes_too_late_is_refused(flow: Flow) -> None:
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))
    flow.watch.pass_(PENDING_S + 1)

    with pytest.raises(AuthorizationRefused, match="took too long"):
        await flow.found.authorizing.finish(CUSTOMER, back)


# -- renewal ------------------------------------------------------------------------------------


async def test_a_token_is_renewed_before_it_is_over_and_rotation_is_kept(
    flow: Flow, provider: Provider
) -> None:
    seen = [await authorize(flow.found)]

    for _ in range(3):
        flow.watch.pass_(3600 - 59)
        seen.append(bearer(await flow.found.headers(CUSTOMER)))

    assert len(set(seen)) == 4
    assert provider.good(seen[-1])
    assert provider.asked["refresh_token"] == 3


async def test_a_good_token_is_not_renewed(flow: Flow, provider: Provider) -> None:
    access = await authorize(flow.found)
    flow.watch.pass_(3600 - 61)

    assert bearer(await flow.found.headers(CUSTOMER)) == access
    assert provider.asked["refresh_token"] == 0


async def test_a_refresh_token_that_does_not_rotate_is_kept(flow: Flow, provider: Provider) -> None:
    provider.rotates = False
    await authorize(flow.found)

    for _ in range(2):
        flow.watch.pass_(4000)
        assert provider.good(bearer(await flow.found.headers(CUSTOMER)))


async def test_without_an_expiry_a_token_is_good_until_it_is_refused(
    flow: Flow, provider: Provider
) -> None:
    provider.expires_in = None
    access = await authorize(flow.found)
    flow.watch.pass_(10**7)

    assert bearer(await flow.found.headers(CUSTOMER)) == access


async def test_a_refused_token_is_renewed_once_for_all(flow: Flow, provider: Provider) -> None:
    sent = {"Authorization": f"Bearer {await authorize(flow.found)}"}
    flow.watch.pass_(YOUNG_S + 1)
    provider.expire(bearer(sent))

    again = await asyncio.gather(*(flow.found.rejected(CUSTOMER, sent) for _ in range(20)))

    assert provider.asked["refresh_token"] == 1
    assert all(each == again[0] for each in again)
    assert again[0] is not None
    assert provider.good(bearer(again[0]))


async def test_a_new_token_that_is_refused_is_not_renewed_over_and_over(
    flow: Flow, provider: Provider
) -> None:
    sent = {"Authorization": f"Bearer {await authorize(flow.found)}"}

    assert await flow.found.rejected(CUSTOMER, sent) is None
    assert provider.asked["refresh_token"] == 0


async def test_a_withdrawn_grant_needs_a_person_again(
    flow: Flow, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    await authorize(flow.found)
    provider.withdraw()
    flow.watch.pass_(4000)

    for found in (flow.found, flow.another()):
        with pytest.raises(NeedsAuthorization) as told:
            await found.headers(CUSTOMER)
        assert str(told.value) == (
            "connection 'desk': the server takes its refresh token no longer (withdrawn, used"
            " twice, or too old): an operator must run"
            " `stepfold connection authorize desk --customer acme`"
        )

    standing = await flow.found.status(CUSTOMER)
    assert standing.state == "needs authorization"
    assert provider.asked["refresh_token"] == 1, "it is not asked again for what it will not give"
    assert "stepfold connection authorize desk" in caplog.text
    assert provider.good(await authorize(flow.found))


async def test_an_old_token_without_a_refresh_token_needs_a_person(
    flow: Flow, provider: Provider
) -> None:
    provider.gives_refresh = False
    await authorize(flow.found)
    flow.watch.pass_(4000)

    with pytest.raises(NeedsAuthorization, match="gave none to renew it with"):
        await flow.found.headers(CUSTOMER)
    assert not (await flow.found.status(CUSTOMER)).renewable


async def test_while_the_server_is_away_a_token_is_used_to_its_end(
    flow: Flow, provider: Provider
) -> None:
    access = await authorize(flow.found)
    provider.away = True
    flow.watch.pass_(3600 - 30)

    assert bearer(await flow.found.headers(CUSTOMER)) == access

    flow.watch.pass_(31)
    with pytest.raises(ServerAway, match=r"cannot now \(HTTP 503\): try again later"):
        await flow.found.headers(CUSTOMER)
    provider.away = False
    assert provider.good(bearer(await flow.found.headers(CUSTOMER)))


# -- revoking -----------------------------------------------------------------------------------


async def test_revoking_ends_the_tokens_there_and_here(flow: Flow, provider: Provider) -> None:
    access = await authorize(flow.found)

    done = await flow.found.revoke(CUSTOMER)

    assert done.told
    assert not provider.good(access)
    with pytest.raises(NeedsAuthorization, match="it is not authorized yet"):
        await flow.another().headers(CUSTOMER)
    assert (await flow.found.status(CUSTOMER)).state == "not authorized"


async def test_they_are_forgotten_even_if_the_server_is_away_and_that_is_said(
    flow: Flow, provider: Provider
) -> None:
    await authorize(flow.found)
    provider.away = True

    done = await flow.found.revoke(CUSTOMER)

    assert not done.told
    assert "HTTP 503" in done.reason
    assert (await flow.found.status(CUSTOMER)).state == "not authorized"


async def test_what_is_sealed_with_a_lost_key_can_be_forgotten(
    flow: Flow, provider: Provider
) -> None:
    await authorize(flow.found)
    where = f"tokens.{NAME}.{CUSTOMER}"
    store = flow.vault._store
    sealed, revision = await store.get(where)
    await store.put(where, sealed[:-1], after=revision)

    done = await flow.found.revoke(CUSTOMER)

    assert not done.told
    assert "cannot be read" in done.reason
    assert provider.good(await authorize(flow.found))


async def test_a_renewal_that_runs_while_it_is_revoked_leaves_nothing(
    flow: Flow, provider: Provider
) -> None:
    await authorize(flow.found)
    flow.watch.pass_(4000)
    provider.gate.clear()
    renewing = asyncio.create_task(flow.found.headers(CUSTOMER))
    await asyncio.to_thread(wait_for, provider, "refresh_token")

    await flow.another().revoke(CUSTOMER)
    provider.gate.set()

    with pytest.raises(NeedsAuthorization):
        await renewing
    assert not any(provider.good(each) for each in provider.secrets)
    assert (await flow.found.status(CUSTOMER)).state == "not authorized"


async def test_nor_does_one_whose_revocation_the_server_never_heard_of(
    flow: Flow, provider: Provider
) -> None:
    await authorize(flow.found)
    flow.watch.pass_(4000)
    provider.gate.clear()
    renewing = asyncio.create_task(flow.found.headers(CUSTOMER))
    await asyncio.to_thread(wait_for, provider, "refresh_token")

    done = await flow.another(replace(flow.auth, revoke_url="")).revoke(CUSTOMER)
    provider.gate.set()

    assert not done.told
    assert "has no revocation endpoint" in done.reason
    with pytest.raises(NeedsAuthorization, match="its authorization was revoked"):
        await renewing
    assert not any(provider.good(each) for each in provider.secrets)


def wait_for(provider: Provider, what: str) -> None:
    with provider.changed:
        assert provider.changed.wait_for(lambda: provider.asked[what], 10)


# -- client credentials -------------------------------------------------------------------------


async def test_a_client_gets_a_token_of_its_own_and_renews_it(
    provider: Provider, tmp_path: Path
) -> None:
    flow = memory(tmp_path, provider, "oauth2_client")

    first = bearer(await flow.found.headers("acme"))
    assert bearer(await flow.found.headers("other")) == first
    flow.watch.pass_(4000)
    second = bearer(await flow.found.headers("acme"))

    assert provider.good(second)
    assert first != second
    assert provider.asked["client_credentials"] == 2
    assert provider.scopes[0] == "tickets:read offline"


@pytest.mark.parametrize("how", ["basic", "post"])
async def test_the_client_proves_itself_in_either_way(
    provider: Provider, tmp_path: Path, how: str
) -> None:
    made = replace(auth(tmp_path, provider, "oauth2_client"), client_auth=how)

    assert await Flow(made, MemoryStore()).found.headers("")


async def test_a_wrong_secret_is_told_without_showing_it(
    provider: Provider, tmp_path: Path
) -> None:
    wrong = Secret("wrong-secret-that-is-long-enough")
    made = replace(auth(tmp_path, provider, "oauth2_client"), client_secret=wrong)

    with pytest.raises(ServerRefused, match=r"refuses: invalid_client \(no such client") as told:
        await Flow(made, MemoryStore()).found.headers("")

    assert wrong.reveal() not in str(told.value)


async def test_a_client_has_no_person_to_ask(provider: Provider, tmp_path: Path) -> None:
    flow = memory(tmp_path, provider, "oauth2_client")

    with pytest.raises(AuthorizationRefused, match="needs no person"):
        await flow.found.authorizing.begin("", REDIRECT)


async def test_a_loader_of_connections_gets_credentials_by_file(
    provider: Provider, tmp_path: Path
) -> None:
    auth(tmp_path, provider, "oauth2_client")
    (tmp_path / "other.toml").write_text('[auth]\nkind = "bearer"\n')
    connections = OAuthConnections(Vault(MemoryStore(), keys()), ENVIRONMENT)

    found = connections(tmp_path / f"{NAME}.toml")

    assert provider.good(bearer(await found.headers(CUSTOMER)))
    with pytest.raises(AuthTableRefused, match=r"other\.toml: there is no table \[auth\]"):
        connections(tmp_path / "other.toml")
    await connections.close()


# -- the server ---------------------------------------------------------------------------------


async def test_an_issuer_tells_its_endpoints(provider: Provider, tmp_path: Path) -> None:
    flow = memory(tmp_path, provider, "oauth2_code", f'issuer = "{provider.url}"')

    access = await authorize(flow.found)

    assert provider.good(access)
    assert (await flow.found.revoke(CUSTOMER)).told


async def test_one_that_knows_only_openid_connect_too(provider: Provider, tmp_path: Path) -> None:
    provider.well_known = "/.well-known/openid-configuration"
    flow = memory(tmp_path, provider, "oauth2_code", f'issuer = "{provider.url}"')

    assert provider.good(await authorize(flow.found))


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://evil.example"}, r"are those of 'https://evil\.example'"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not support PKCE with S256"),
        ({"token_endpoint": "ftp://127.0.0.1/token"}, "an endpoint of another scheme"),
        ({"issuer": 7}, "tells no endpoints"),
    ],
)
async def test_metadata_that_cannot_be_trusted_are_refused(
    provider: Provider, tmp_path: Path, metadata: dict[str, object], why: str
) -> None:
    provider.metadata = metadata
    flow = memory(tmp_path, provider, "oauth2_code", f'issuer = "{provider.url}"')

    with pytest.raises(ServerRefused, match=why):
        await flow.found.authorizing.begin(CUSTOMER, REDIRECT)


@pytest.mark.parametrize("said", ["", "&iss=https%3A%2F%2Fevil.example"])
async def test_the_answer_of_another_server_is_refused(
    provider: Provider, tmp_path: Path, said: str
) -> None:
    """RFC 9207."""
    flow = memory(tmp_path, provider, "oauth2_code", f'issuer = "{provider.url}"')
    back = await browse(await flow.found.authorizing.begin(CUSTOMER, REDIRECT))
    kept = "&".join(part for part in back.split("&") if not part.startswith("iss="))

    with pytest.raises(AuthorizationRefused, match="another server answered"):
        await flow.found.authorizing.finish(CUSTOMER, kept + said)


async def test_a_token_endpoint_that_sends_elsewhere_is_not_followed(
    flow: Flow, provider: Provider
) -> None:
    await authorize(flow.found)
    flow.watch.pass_(4000)
    with serving() as other:
        provider.redirects_to = f"{other.url}/token"

        with pytest.raises(ServerAway, match=r"no OAuth answer \(HTTP 307\)"):
            await flow.found.headers(CUSTOMER)

        assert not other.asked


async def test_no_request_goes_where_none_may(provider: Provider, tmp_path: Path) -> None:
    made = auth(tmp_path, provider, "oauth2_client")
    flow = Flow(replace(made, reach=replace(made.reach, private=())), MemoryStore())

    with pytest.raises(ReachRefused):
        await flow.found.headers("")
    assert not provider.asked


async def test_a_server_that_is_not_there_is_away(provider: Provider, tmp_path: Path) -> None:
    made = auth(tmp_path, provider, "oauth2_client")
    with serving() as gone:
        port, url = gone.port, gone.url
    reach = replace(made.reach, ports=(port,))
    flow = Flow(replace(made, reach=reach, token_url=f"{url}/token"), MemoryStore())

    with pytest.raises(ServerAway, match=r"cannot be reached \(ConnectError\): try again later"):
        await flow.found.headers("")
