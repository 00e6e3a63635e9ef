"""`stepfold serve --http` opens the doors of the channels that have a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import pytest

from stepfold.app import opened
from stepfold.cli.channelling import channelling
from stepfold.settings import Settings
from tests.cli.commands import first_line, running, spawn

DOCS = Path(__file__).parents[2] / "docs"
SLACK = """
signing_secret = "${env:SLACK_SIGNING_SECRET}"

[teams.T1]
customer = "acme"
bot_token = "${env:SLACK_BOT_TOKEN}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "channels").mkdir()
    return tmp_path


async def test_without_a_file_there_is_no_door(folder: Path) -> None:
    here = Settings(folder=folder)
    async with opened(here) as found, channelling(found, here) as routes:
        assert routes == []


def test_a_wrong_file_is_refused_with_its_place(folder: Path) -> None:
    (folder / "channels" / "slack.toml").write_text("nonsense = 1\n")

    ended = spawn("serve", "--http", "0", STEPFOLD_DATA_DIR=str(folder))

    assert ended.returncode == 1
    assert "slack.toml:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_door_of_slack_is_open_and_believes_nobody_without_a_signature(folder: Path) -> None:
    (folder / "channels" / "slack.toml").write_text(SLACK)
    secrets = {"SLACK_SIGNING_SECRET": "s" * 32, "SLACK_BOT_TOKEN": "xoxb-1"}
    with running("serve", "--http", "0", "--json", STEPFOLD_DATA_DIR=str(folder), **secrets) as it:
        address = json.loads(first_line(it))["http"]

        told = httpx2.post(f"{address}/channels/slack/events", json={"type": "event_callback"})

    assert told.status_code == 401


def test_the_dashboard_is_where_it_is_said_to_be(folder: Path) -> None:
    with running("serve", "--http", "0", "--json", STEPFOLD_DATA_DIR=str(folder)) as it:
        address = json.loads(first_line(it))["http"]

        told = httpx2.get(f"{address}/dashboard", follow_redirects=True)

    assert told.status_code == 200
    assert told.url.path == "/dashboard/sign-in"


def test_what_the_pages_say_opens_both_doors(folder: Path) -> None:
    """Their own files, and their own command, on a port that is free."""
    secrets = {"SLACK_SIGNING_SECRET": "s" * 32, "SLACK_BOT_TOKEN": "xoxb-1", "TEAMS_SECRET": "s"}
    commands = set()
    for name in ("slack", "teams"):
        page = (DOCS / f"{name}.md").read_text()
        (file,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (folder / "channels" / f"{name}.toml").write_text(file)
        commands |= set(re.findall(r"`stepfold (serve --[^`]* 8000)`", page))
    (command,) = commands

    arguments = command.replace("8000", "0").split()
    with running(*arguments, "--json", STEPFOLD_DATA_DIR=str(folder), **secrets) as it:
        address = json.loads(first_line(it))["http"]
        doors = ("slack/events", "slack/interactive", "teams/messages")
        told = [httpx2.post(f"{address}/channels/{door}", json={}) for door in doors]

    assert [answer.status_code for answer in told] == [401, 401, 401]
