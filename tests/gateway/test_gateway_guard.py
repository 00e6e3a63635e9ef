"""Sites, rates, and what every answer says to a browser."""

from __future__ import annotations

import re

import httpx2
import pytest

from stepfold.gateway.doors import Asked, Door
from stepfold.gateway.limits import ADDRESS_CHARS_MAX, Buckets, Limits, Rate, network
from stepfold.gateway.principal import CHAT, READ
from stepfold.gateway.problems import TooMany
from stepfold.gateway.serving import Made
from stepfold.gateway.table import DOORS
from stepfold.gateway.visitors import Claims
from tests.gateway.house import House, anybody

SHOP, EVIL = "https://shop.example", "https://evil.example"
LIST = "/v1/conversations"

# -- sites ----------------------------------------------------------------------------------------


async def test_only_pages_of_the_sites_that_a_key_names_may_use_it(home: House) -> None:
    shop = await home.client(await home.key(origins=(SHOP,)))
    none = await home.client()

    answers = [
        await client.get(LIST, headers={"Origin": origin})
        for client, origin in ((shop, SHOP), (shop, EVIL), (none, SHOP), (none, "null"))
    ]

    assert [answer.status_code for answer in answers] == [200, 403, 403, 403]
    assert answers[0].headers["access-control-allow-origin"] == SHOP
    assert "Origin" in answers[0].headers["vary"]
    assert "access-control-allow-credentials" not in answers[0].headers


async def test_pages_of_the_gateway_itself_may_use_any_key(home: House) -> None:
    client = await home.client()

    answer = await client.get(LIST, headers={"Origin": home.url})

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_a_token_is_for_the_site_that_it_names(home: House) -> None:
    server = await home.client(await home.key(scopes=(CHAT,)))
    body = {"contact": "ada", "origin": SHOP}
    ada = await home.client((await server.post("/v1/visitors", json=body)).json()["token"])

    answers = [await ada.get(f"{LIST}/x", headers={"Origin": each}) for each in (SHOP, EVIL)]

    assert [answer.status_code for answer in answers] == [404, 403]


async def test_a_browser_may_ask_before_it_shows_its_key(home: House) -> None:
    headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    async with anybody(home.url) as client:
        answer = await client.options(LIST, headers=headers)

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Last-Event-ID" in answer.headers["access-control-allow-headers"]


async def test_a_browser_may_send_what_clients_of_others_protocols_send(home: House) -> None:
    asked = (
        "authorization, x-stainless-lang, mcp-protocol-version, mcp-name, cookie, x-st ainless-a"
    )
    headers = {"Origin": SHOP, "Access-Control-Request-Headers": asked}
    async with anybody(home.url) as client:
        answer = await client.options("/v1/chat/completions", headers=headers)

    allowed = re.split(", ?", answer.headers["access-control-allow-headers"].lower())
    assert {"x-stainless-lang", "mcp-protocol-version", "mcp-session-id", "mcp-name"} <= {*allowed}
    assert not [each for each in allowed if each == "cookie" or " " in each]


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "//", "\xff"])
async def test_an_origin_that_is_none_is_nobodys(home: House, origin: str) -> None:
    client = await home.client()
    headers = {"Origin": origin.encode("latin-1")}

    asked = await client.request("OPTIONS", LIST, headers=headers)  # type: ignore[arg-type]
    got = await client.get(LIST, headers=headers)  # type: ignore[arg-type]

    assert (asked.status_code, got.status_code) == (204, 403)


@pytest.mark.parametrize("path", ["/", LIST, "/nothing", "/openapi.json"])
async def test_every_answer_tells_a_browser_to_be_careful(home: House, path: str) -> None:
    async with anybody(home.url) as client:
        answer = await client.get(path)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers


async def test_a_fault_of_ours_says_its_id_and_nothing_else(home: House) -> None:
    async def broken(asked: Asked) -> object:
        raise RuntimeError("the secret is 42")

    door = Door("GET", "/broken", broken, public="is broken")  # type: ignore[arg-type]
    url = await home.open_gateway(Made(doors=(*DOORS, door)))
    async with anybody(url) as client:
        answer = await client.get("/broken", headers={"X-Request-Id": "r-1"})

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "r-1" in answer.json()["detail"]
    assert "42" not in answer.text


async def test_no_stranger_writes_a_line_of_the_log(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(asked: Asked) -> object:
        raise RuntimeError("it is broken")

    door = Door("GET", "/broken/{name}", broken, public="is broken")  # type: ignore[arg-type]
    url = await home.open_gateway(Made(doors=(*DOORS, door)))
    async with anybody(url) as client:
        await client.get("/broken/x%0aforged")

    (told,) = [each.getMessage() for each in caplog.records if "failed" in each.getMessage()]
    assert "forged" in told
    assert "\n" not in told


# -- rates ----------------------------------------------------------------------------------------


class Timer:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills_again() -> None:
    timer = Timer()
    buckets = Buckets(Rate(per_s=2, burst=3), timer)
    for _ in range(3):
        buckets.take("a")

    with pytest.raises(TooMany) as refused:
        buckets.take("a")
    buckets.take("b")
    timer.now += 0.5
    buckets.take("a")

    assert refused.value.again_s == 1


def test_the_limit_of_a_bucket_is_its_burst() -> None:
    timer = Timer()
    buckets = Buckets(Rate(per_s=10, burst=2), timer)
    timer.now += 1_000

    buckets.take("a")
    buckets.take("a")
    with pytest.raises(TooMany):
        buckets.take("a")


def test_whoever_has_many_addresses_is_one_as_far_as_that_shows() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1")
    assert network("10.0.0.1") != network("10.0.0.2")


@pytest.mark.parametrize("address", ["x" * 30_000, "fe80::1%" + "x" * 30_000])
def test_little_is_kept_of_an_address_that_is_none(address: str) -> None:
    assert len(network(address)) <= ADDRESS_CHARS_MAX


async def statuses(client: httpx2.AsyncClient, path: str, times: int) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


async def test_a_key_that_asks_too_often_waits_and_others_do_not(home: House) -> None:
    few = Rate(0.001, 2)
    url = await home.open_gateway(Made(limits=Limits(key=few)))
    one = await home.client(await home.key(scopes=(READ,)), url=url)
    other = await home.client(await home.key(scopes=(READ,)), url=url)

    assert await statuses(one, LIST, 3) == [200, 200, 429]
    assert await statuses(other, LIST, 1) == [200]
    assert int((await one.get(LIST)).headers["retry-after"]) > 1


async def test_an_address_that_tries_keys_is_turned_away_and_its_good_keys_are_not(
    home: House,
) -> None:
    url = await home.open_gateway(Made(limits=Limits(wrong=Rate(0.001, 3))))
    guesses = await home.client("sfk_000000000000_" + "A" * 43, url=url)
    good = await home.client(url=url)

    assert await statuses(guesses, LIST, 5) == [401, 401, 401, 429, 429]
    assert await statuses(good, LIST, 2) == [200, 200]
    assert await statuses(guesses, LIST, 1) == [429]


async def test_a_token_that_was_good_once_is_no_guess(home: House) -> None:
    url = await home.open_gateway(Made(limits=Limits(wrong=Rate(0.001, 1))))
    key, _ = await home.keys.create("acme", (CHAT,))
    visitors = home.gateways[url].guard.visitors
    assert visitors is not None
    late, gone = Claims(key.id, "acme", "ada", 1), Claims("0" * 12, "acme", "ada", 2**40)
    old = await home.client(visitors.token(late), url=url)
    lost = await home.client(visitors.token(gone), url=url)
    forged = await home.client(visitors.token(late)[:-5] + "AAAAA", url=url)

    assert await statuses(old, LIST, 3) == [401, 401, 401]
    assert await statuses(lost, LIST, 3) == [401, 401, 401]
    assert await statuses(forged, LIST, 3) == [401, 429, 429]


async def test_health_is_told_however_much_its_address_asks(home: House) -> None:
    url = await home.open_gateway(Made(limits=Limits(address=Rate(0.001, 2))))
    async with anybody(url) as client:
        assert await statuses(client, "/", 3) == [200, 200, 429]
        assert await statuses(client, "/healthz", 3) == [200, 200, 200]
        assert await statuses(client, "/readyz", 3) == [200, 200, 200]


async def test_a_visitor_has_few_streams_open(home: House) -> None:
    url = await home.open_gateway(Made(limits=Limits(visitor_streams=1)))
    server = await home.client(await home.key(scopes=(CHAT,)), url=url)
    token = (await server.post("/v1/visitors", json={"contact": "ada"})).json()["token"]
    ada = await home.client(token, url=url)
    name = (await ada.post(LIST, json={})).json()["conversation"]
    path = f"{LIST}/{name}/events"

    async with ada.stream("GET", path):
        refused = await ada.get(path)

    assert refused.status_code == 429
