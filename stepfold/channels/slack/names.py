"""A thread of Slack and the conversation that it is: each can be told from the other."""

from __future__ import annotations

import re

from msgspec import Struct

CHANNEL = "slack"
"""What conversations of this channel have as their `channel`."""

PERSON = "slack:"
"""What stands before a user's id where an approval names who agreed."""

_NAME = re.compile(r"slack:(?P<team>T[A-Z0-9]+):(?P<channel>[CDG][A-Z0-9]+):(?P<ts>\d+-\d+)")
_TEAM = re.compile(r"T[A-Z0-9]{1,30}")
_PLACE = re.compile(r"[CDG][A-Z0-9]{1,30}")
_TS = re.compile(r"\d{1,12}\.\d{1,8}")
_USER = re.compile(r"[UW][A-Z0-9]{1,30}")


class Thread(Struct, frozen=True):
    """`ts` is the time stamp of the message that the thread hangs on: Slack's own name of it."""

    team: str
    channel: str
    ts: str

    @property
    def conversation(self) -> str:
        return f"{CHANNEL}:{self.team}:{self.channel}:{self.ts.replace('.', '-')}"

    @property
    def direct(self) -> bool:
        """A direct message: nobody else reads it."""
        return self.channel.startswith("D")


def thread_of(conversation: str) -> Thread | None:
    """The thread that a conversation is; None when it is none of Slack's."""
    found = _NAME.fullmatch(conversation)
    if found is None:
        return None
    return Thread(found["team"], found["channel"], found["ts"].replace("-", "."))


def is_team(text: str) -> bool:
    return _TEAM.fullmatch(text) is not None


def is_place(text: str) -> bool:
    """The id of a channel, a group or a direct message."""
    return _PLACE.fullmatch(text) is not None


def is_user(text: str) -> bool:
    return _USER.fullmatch(text) is not None


def is_ts(text: str) -> bool:
    return _TS.fullmatch(text) is not None
