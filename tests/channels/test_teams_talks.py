"""A chat with one person lasts for years; its conversations do not have to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from stepfold.channels.teams.config import TEXTS, parse_teams
from stepfold.channels.teams.places import Places, Spoken, Where
from stepfold.events.event import MessageReceived
from stepfold.providers.model import Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.testing import Clock
from stepfold.tools.vault import MemoryStore
from tests.channels.teams_fake import BOT, CHAT, SECRET
from tests.channels.teams_world import NAME, site

KEY = "acme", NAME
HOUR_S = 3600.0


async def places() -> Places:
    made = Places(MemoryStore())
    await made.settle(*KEY, Where("https://x.example", CHAT, True, BOT))
    return made


async def test_after_a_rest_a_new_conversation_begins_and_goes_on_while_it_is_had() -> None:
    made, clock = await places(), Clock()
    names = []
    for number, quiet_s in enumerate(
        (0, HOUR_S, 30, 9 * HOUR_S, 5 * HOUR_S, 7 * HOUR_S, 9 * HOUR_S)
    ):
        clock.at += timedelta(seconds=quiet_s)
        names.append(await made.hear(KEY, Spoken(f"a{number}", clock.at), 8 * HOUR_S))

    assert names == [NAME, NAME, NAME, *[f"{NAME}-2"] * 3, f"{NAME}-3"]


async def test_without_a_rule_a_chat_is_one_conversation() -> None:
    made, clock = await places(), Clock()
    await made.hear(KEY, Spoken("a1", clock.at), 0)
    clock.at += timedelta(days=900)

    assert await made.hear(KEY, Spoken("a2", clock.at), 0) == NAME


async def test_who_asks_for_a_new_conversation_gets_one_however_often_teams_tells_it(
    tmp_path: Path,
) -> None:
    model = ScriptedModel([Reply("One."), Reply("Two.")])
    async with site(tmp_path, models={"scripted": model}) as made:
        await made.post(made.fake.says("first"))
        await made.until_kind("response.delivered")
        anew = made.fake.says("/NEW")
        for _ in range(2):
            assert (await made.post(anew)).status_code == 200
        await made.until_kind("conversation.started", name=f"{NAME}-2")
        await made.post(made.fake.says("second"))
        await made.until_kind("response.delivered", name=f"{NAME}-2")

        told = [(await made.entries(name)) for name in (NAME, f"{NAME}-2")]
        await made.fake.until(lambda sent: sent.text == TEXTS.greeting)
        assert await made.entries(f"{NAME}-3") == []
    said = [[e.event.text for e in each if isinstance(e.event, MessageReceived)] for each in told]
    assert said == [["first"], ["second"]]


def test_the_rule_is_in_the_file() -> None:
    text = """
app_id = "11111111-2222-4333-8444-555555555555"
secret = "${env:TEAMS_SECRET}"
rest_hours = 12
anew = "start over"

[customers]
"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" = "acme"
"""
    config = parse_teams(text, "teams.toml", {"TEAMS_SECRET": SECRET})

    assert (config.rest_s, config.anew) == (12 * HOUR_S, "start over")
