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
from tests.cli.commands import LIMIT_S, first_line, running, spawn

DOCS = Path(__file__).parents[2] / "docs"
SLACK = """
signing_secret = "${env:SLACK_SIGNING_SECRET}"

[teams.T1]
customer = "acme"
bot_token = "${env:SLACK_BOT_TOKEN}"
"""

PAGE_SECRETS = {"SLACK_SIGNING_SECRET": "s" * 32, "SLACK_BOT_TOKEN": "xoxb-1", "TEAMS_SECRET": "s"}


def _file_in_page(channel: str) -> str:
    page = (DOCS / f"{channel}.md").read_text()
    (file,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(file)


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


def test_the_mistakes_of_every_file_are_told_at_once(folder: Path) -> None:
    for name in ("slack", "teams"):
        (folder / "channels" / f"{name}.toml").write_text("nonsense = 1\n")

    ended = spawn("serve", "--http", "0", STEPFOLD_DATA_DIR=str(folder))

    assert ended.returncode == 1
    assert "slack.toml:1" in ended.stderr
    assert "teams.toml:1" in ended.stderr


MISSING = """
import sys

sys.modules.update(dict.fromkeys(("slack_sdk", "microsoft_teams")))
"""


def test_channels_without_their_packages_are_told_what_to_install(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(MISSING)
    for name in ("slack", "teams"):
        (folder / "channels" / f"{name}.toml").write_text(_file_in_page(name))

    ended = spawn(
        *("serve", "--http", "0"),
        STEPFOLD_DATA_DIR=str(folder),
        PYTHONPATH=str(folder),
        **PAGE_SECRETS,
    )

    told = ended.stderr.splitlines()
    assert (ended.returncode, len(told)) == (1, 2)
    assert told[0].endswith("slack.toml needs the package slack-sdk: pip install 'stepfold[slack]'")
    assert told[1].endswith(
        "teams.toml needs the package microsoft-teams-apps: pip install 'stepfold[teams]'"
    )


def test_a_file_of_a_channel_where_no_gateway_runs_is_told(folder: Path) -> None:
    (folder / "channels" / "slack.toml").write_text(SLACK)
    with running("serve", "--json", STEPFOLD_DATA_DIR=str(folder)) as it:
        first_line(it)
        it.terminate()
        _, told = it.communicate(timeout=LIMIT_S)

    assert "slack.toml is there, but nobody delivers: stepfold serve --http 8000" in told


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
    commands = set()
    for name in ("slack", "teams"):
        page = (DOCS / f"{name}.md").read_text()
        (folder / "channels" / f"{name}.toml").write_text(_file_in_page(name))
        commands |= set(re.findall(r"`stepfold (serve --[^`]* 8000)`", page))
    (command,) = commands

    arguments = command.replace("8000", "0").split()
    with running(*arguments, "--json", STEPFOLD_DATA_DIR=str(folder), **PAGE_SECRETS) as it:
        said = json.loads(first_line(it))
        address = said["http"]
        doors = ("slack/events", "slack/interactive", "teams/messages")
        told = [httpx2.post(f"{address}/channels/{door}", json={}) for door in doors]

    assert [answer.status_code for answer in told] == [401, 401, 401]
    assert said["channels"] == "slack, teams"
