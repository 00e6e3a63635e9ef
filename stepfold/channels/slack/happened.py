"""What may happen on Slack, as far as an agent is concerned."""

from __future__ import annotations

from msgspec import Struct

from stepfold.channels.slack.names import Thread

APPROVE, DENY = "stepfold_approve", "stepfold_deny"
"""The `action_id` of the buttons."""


class File(Struct, frozen=True):
    """A file as Slack names it; `url` is empty where only `files.info` tells it."""

    id: str
    name: str = ""
    media: str = "application/octet-stream"
    url: str = ""
    size: int = 0


class Said(Struct, frozen=True):
    """A contact said something in a thread. Where it is no direct message and does not mention the
    agent, it counts only in a thread that is a conversation already. `home` is the contact's
    workspace where that is another one, in a channel that is shared with it (Slack Connect); `bot`
    the user that the agent is.
    """

    thread: Thread
    message: str
    contact: str
    text: str
    files: tuple[File, ...] = ()
    addressed: bool = True
    home: str = ""
    bot: str = ""

    @property
    def ts(self) -> str:
        """The message's own time stamp."""
        return self.message.rpartition(":")[2]


class Pressed(Struct, frozen=True):
    """Somebody pressed a button under a call that waits. `channel` is where it stands."""

    team: str
    person: str
    channel: str
    conversation: str
    call: str
    digest: str
    approve: bool


class Challenge(Struct, frozen=True):
    """Slack wants to see that the URL is ours."""

    text: str


class Ignored(Struct, frozen=True):
    """Nothing for an agent."""

    reason: str


class Refused(Struct, frozen=True):
    """A request that is not Slack's, or that nobody can read."""

    status: int
    reason: str


Happened = Said | Pressed | Challenge | Ignored | Refused


class Mark(Struct, frozen=True):
    """What a button carries: the call, and the digest that an approval is bound to."""

    conversation: str
    call: str
    digest: str
