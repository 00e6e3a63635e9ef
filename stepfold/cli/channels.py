"""Which channels have a file in the data folder; channelling.py opens them.

channels/slack.toml    Slack (docs/slack.md)
channels/teams.toml    Microsoft Teams (docs/teams.md)
"""

from __future__ import annotations

from pathlib import Path

FOLDER = "channels"
SLACK, TEAMS = "slack", "teams"
KNOWN = (SLACK, TEAMS)


def file_of(channel: str, data: Path) -> Path:
    return data / FOLDER / f"{channel}.toml"


def present(data: Path) -> tuple[str, ...]:
    """The channels that have a file in this data folder."""
    return tuple(channel for channel in KNOWN if file_of(channel, data).exists())
