"""Only the Bot Framework may speak for Teams, to this bot, now, and for one service."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from stepfold.channels.teams.trust import KeysAway, Trust, Untrusted
from tests.channels.teams_fake import FakeTeams, broken, fake_teams, rsa_key
from tests.channels.teams_world import config_of, site
from tests.waiting import eventually

ANOTHER = "99999999-2222-4333-8444-555555555555"


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeams]:
    async with fake_teams() as made:
        yield made


async def test_a_token_of_the_bot_framework_says_which_service_it_is_for(fake: FakeTeams) -> None:
    trust = Trust(config_of(fake))

    assert await trust.service_url(f"Bearer {fake.token()}") == fake.service_url


def forgeries(fake: FakeTeams) -> dict[str, str]:
    now = int(time.time())
    claims = jwt.decode(fake.token(), options={"verify_signature": False})
    return {
        "nothing": "",
        "no bearer": f"Basic {fake.token()}",
        "no token": "Bearer ",
        "not a token": "Bearer abc.def.ghi",
        "endless": f"Bearer {'a' * 20_000}",
        "signed by another": f"Bearer {fake.token(signed_by='stranger')}",
        "signed with nothing": "Bearer " + jwt.encode(claims, "", "none", {"kid": "key-1"}),
        "signed with a word": "Bearer "
        + jwt.encode(claims, "k" * 64, "HS256", headers={"kid": "key-1"}),
        "of an unknown key": f"Bearer {fake.token(key='key-9')}",
        "expired": f"Bearer {fake.token(exp=now - 301)}",
        "not yet": f"Bearer {fake.token(nbf=now + 400)}",
        "issued tomorrow": f"Bearer {fake.token(iat=now + 86_400)}",
        "for another bot": f"Bearer {fake.token(aud=ANOTHER)}",
        "for nobody": f"Bearer {fake.token(aud=None)}",
        "of another issuer": f"Bearer {fake.token(iss='https://sts.windows.net/x/')}",
        "without an end": f"Bearer {fake.token(exp=None)}",
        "without a service": f"Bearer {fake.token(serviceurl=None)}",
        "of a strange service": f"Bearer {fake.token(serviceurl=7)}",
    }


async def test_every_forgery_is_refused_without_a_word(fake: FakeTeams) -> None:
    trust = Trust(config_of(fake))

    for name, header in forgeries(fake).items():
        with pytest.raises(Untrusted) as refused:
            await trust.service_url(header)
        assert str(refused.value) == "", name


async def test_the_route_refuses_them_all_alike_and_appends_nothing(tmp_path: Path) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        said, good = made.fake.says("Hello"), made.fake.token()
        other_service = {**said, "serviceUrl": "https://evil.example/"}
        answers = [
            await made.post(said, token=header.removeprefix("Bearer "))
            for header in forgeries(made.fake).values()
            if header.startswith("Bearer ") and len(header) < 10_000
        ]
        answers.append(await made.post(other_service, token=good))
        answers.append(await made.post({**said, "serviceUrl": ""}, token=good))

        told = {(answer.status_code, answer.content) for answer in answers}
        assert told == {(401, b'{"error":"unauthorized"}')}
        assert await made.entries() == []


async def test_a_key_that_is_not_endorsed_for_teams_signs_nothing(fake: FakeTeams) -> None:
    fake.endorsements = ["webchat"]

    with pytest.raises(Untrusted):
        await Trust(config_of(fake)).service_url(f"Bearer {fake.token()}")


async def test_clocks_may_differ_by_five_minutes(fake: FakeTeams) -> None:
    late = fake.token(exp=int(time.time()) - 200)

    assert await Trust(config_of(fake)).service_url(f"Bearer {late}")


class Clock:
    at = 1_000.0

    def __call__(self) -> float:
        return self.at


async def test_a_new_key_is_found_and_unknown_ones_are_asked_for_once_a_minute(
    fake: FakeTeams,
) -> None:
    clock = Clock()
    trust = Trust(config_of(fake), clock)
    await trust.service_url(f"Bearer {fake.token()}")
    fake.keys["key-2"] = rsa_key("key-2")
    newer = f"Bearer {fake.token(key='key-2')}"
    for _ in range(3):
        clock.at += 5
        with pytest.raises(Untrusted):
            await trust.service_url(newer)
    asked = fake.asked.count("openid")
    clock.at += 61

    assert await trust.service_url(newer)
    assert (asked, fake.asked.count("openid")) == (1, 2)


async def test_keys_are_kept_for_a_day_and_a_revoked_one_is_forgotten(fake: FakeTeams) -> None:
    clock = Clock()
    trust = Trust(config_of(fake), clock)
    await trust.service_url(f"Bearer {fake.token()}")
    old = f"Bearer {fake.token()}"
    fake.keys = {"key-2": rsa_key("key-2")}
    assert await trust.service_url(old)
    clock.at += 24 * 3600 + 1

    with pytest.raises(Untrusted):
        await trust.service_url(old)


async def test_keys_are_renewed_before_they_are_old_and_nobody_waits_for_it(
    fake: FakeTeams,
) -> None:
    clock = Clock()
    trust = Trust(config_of(fake), clock)
    token = f"Bearer {fake.token()}"
    await trust.service_url(token)
    clock.at += 13 * 3600
    fake.faults.append(broken)  # it is away, and nobody notices

    assert await trust.service_url(token)
    await eventually(lambda: not fake.faults)
    clock.at += 61
    assert await trust.service_url(token)
    await eventually(lambda: fake.asked.count("openid") == 3)
    clock.at += 23 * 3600
    assert await trust.service_url(token)


async def test_without_keys_nothing_can_be_said_and_it_is_tried_again(fake: FakeTeams) -> None:
    clock = Clock()
    trust = Trust(config_of(fake), clock)
    fake.faults.append(broken)
    for _ in range(3):
        clock.at += 1
        with pytest.raises(KeysAway):
            await trust.service_url(f"Bearer {fake.token()}")
    assert fake.asked.count("openid") == 1
    clock.at += 6

    assert await trust.service_url(f"Bearer {fake.token()}")


async def test_the_route_says_that_it_cannot_now(tmp_path: Path) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        made.fake.faults.append(broken)

        answer = await made.post(made.fake.says("Hello"))

        assert (answer.status_code, answer.json()) == (503, {"error": "not now"})


async def test_what_is_signed_but_no_activity_for_us(tmp_path: Path) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        service = {"serviceUrl": made.fake.service_url}
        cases: list[tuple[dict[str, Any], int]] = [
            ({"type": "message"}, 401),
            ({"type": "messageReaction", **service}, 200),
            ({"type": "invoke", "name": "task/fetch", **service}, 501),
            ({"type": "message", "from": "?", **service}, 400),
            ({"type": "message", "text": "x" * 600_000, **service}, 413),
        ]

        told = [(await made.post(activity)).status_code for activity, _ in cases]

        assert told == [status for _, status in cases]
        assert await made.found.log.last() == 0


async def test_a_tenant_that_is_no_customer_is_not_heard(tmp_path: Path) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        tenant = "ffffffff-bbbb-4ccc-8ddd-eeeeeeeeeeee"
        place = {"id": "a:1", "conversationType": "personal", "tenantId": tenant}
        said = made.fake.says("Hi", conversation=place, channelData={"tenant": {"id": tenant}})
        mixed = made.fake.says("Hi", channelData={"tenant": {"id": tenant}})

        for each in (said, mixed):
            assert (await made.post(each)).status_code == 200
        assert await made.found.log.last() == 0
