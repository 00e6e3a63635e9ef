"""Files that contacts send: kept before they are named, and fetched from Slack alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepfold.channels.slack.names import Thread
from stepfold.events.event import MessageReceived
from stepfold.providers.model import Reply
from stepfold.streams.log import content_digest
from tests.channels.slack_fake import FakeSlack, slack
from tests.channels.slack_office import DIRECT, TEAM, Office, message, office

PNG = b"\x89PNG..."
TS = "1700000000.000100"


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        made.files["F1"] = ("image/png", PNG)
        yield made


def file(fake: FakeSlack, **more: Any) -> dict[str, Any]:
    url = f"{fake.api.removesuffix('api/')}files/F1"
    return {"id": "F1", "name": "a.png", "mimetype": "image/png", "url_private": url, **more}


async def heard(here: Office, *files: dict[str, Any], text: str = "look") -> MessageReceived:
    told = message(TS, text, subtype="file_share", files=list(files))
    assert (await here.event(told)).status_code == 200
    (found,) = await here.told(Thread(TEAM, DIRECT, TS), MessageReceived)
    return found


async def test_a_file_is_in_the_object_store_before_the_message_names_it(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("Nice."), deliver=False) as here:
        found = await heard(here, file(fake))
        kept = await here.found.files.get(found.files[0].blob)

    assert kept == PNG
    assert (found.files[0].media, found.files[0].name) == ("image/png", "a.png")
    assert found.files[0].blob == content_digest(PNG)
    assert found.text == "look"


async def test_a_file_without_its_place_is_asked_for(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake, Reply("Nice."), deliver=False) as here:
        found = await heard(here, {"id": "F1", "name": "a.png", "file_access": "check_file_info"})

    assert fake.asked("files.info") == [{"file": "F1"}]
    assert found.files[0].blob == content_digest(PNG)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"url_private": "http://evil.example/a.png"}, "does not lie on Slack"),
        ({"url_private": "http://127.0.0.1:1/files/F1"}, "does not lie on Slack"),
        ({"url_private": "https://evil.example/a.png"}, "does not lie on Slack"),
        ({"url_private": "https://files.slack.com.evil.example/a.png"}, "does not lie on Slack"),
        ({"size": 2_000}, "larger than 1,000 bytes"),
        ({"mimetype": "text/plain"}, "larger than 1,000 bytes"),
    ],
)
async def test_a_file_that_cannot_be_taken_is_said_to_be(
    tmp_path: Path, fake: FakeSlack, more: dict[str, Any], why: str
) -> None:
    fake.files["F1"] = ("text/plain", b"x" * 3_000)
    async with office(
        tmp_path, fake, Reply("Hm."), deliver=False, more="file_bytes_max = 1_000"
    ) as here:
        found = await heard(here, file(fake, **more))

    assert found.files == ()
    assert found.text.startswith("look\n\n(The file 'a.png'")
    assert why in found.text


async def test_a_page_to_sign_in_is_no_file(tmp_path: Path, fake: FakeSlack) -> None:
    fake.files["F1"] = ("text/html; charset=utf-8", b"<html>sign in</html>")
    async with office(tmp_path, fake, Reply("Hm."), deliver=False) as here:
        found = await heard(here, file(fake))

    assert "files:read" in found.text


async def test_a_slow_file_makes_slack_ask_again_and_the_message_is_one(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.gates["F1"] = threading.Event()
    async with office(tmp_path, fake, Reply("Nice."), deliver=False) as here:
        told = message(TS, "look", subtype="file_share", files=[file(fake)])
        first = await here.event(told)
        fake.gates["F1"].set()
        again = await here.event(told, **{"X-Slack-Retry-Num": "1"})
        once_more = await here.event(told, **{"X-Slack-Retry-Num": "2"})
        found = await here.told(Thread(TEAM, DIRECT, TS), MessageReceived)

    assert [first.status_code, again.status_code, once_more.status_code] == [503, 200, 200]
    assert len(found) == 1
