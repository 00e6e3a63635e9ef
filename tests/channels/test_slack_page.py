"""The page on Slack says what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import yaml

from stepfold.channels.slack.api import Method
from stepfold.channels.slack.app import EVENTS, INTERACTIVE
from stepfold.channels.slack.config import SlackForm, TeamForm, parse_slack
from stepfold.channels.slack.pages import PAGES_MAX
from tests.channels.slack_office import ENVIRONMENT

PAGE = (Path(__file__).parents[2] / "docs" / "slack.md").read_text()
SCOPES = {
    "assistant_threads_setStatus": {"assistant:write"},
    "auth_test": set[str](),
    "chat_appendStream": {"chat:write"},
    "chat_delete": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_postMessage": {"chat:write"},
    "chat_startStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "chat_update": {"chat:write"},
    "conversations_history": {"channels:history", "groups:history"},
    "conversations_replies": {
        "channels:history",
        "groups:history",
        "im:history",
        "mpim:history",
    },
    "files_info": {"files:read"},
}
"""What Slack wants for each method; the events want app_mentions:read besides."""


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_manifest_asks_for_exactly_what_is_used() -> None:
    manifest: dict[str, Any] = yaml.safe_load(block("yaml"))
    scopes = set(manifest["oauth_config"]["scopes"]["bot"])
    settings = manifest["settings"]

    assert SCOPES.keys() == set(get_args(Method))
    assert scopes == set().union(*SCOPES.values()) | {"app_mentions:read"}
    assert all(f"`{scope}`" in PAGE for scope in scopes)
    assert settings["event_subscriptions"]["request_url"] == f"https://YOUR-HOST{EVENTS}"
    assert settings["interactivity"]["request_url"] == f"https://YOUR-HOST{INTERACTIVE}"


def test_the_example_is_read_and_every_key_is_told() -> None:
    config = parse_slack(block("toml"), "slack.toml", ENVIRONMENT)

    assert config.customers == ("acme",)
    assert all(f"`{key}`" in PAGE for form in (SlackForm, TeamForm) for key in form.model_fields)
    assert f"{config.file_bytes_max:,}" in PAGE
    assert f"up to {PAGES_MAX} of them" in PAGE
