"""What the gateway answers. Times are ISO 8601 with a zone, money is text of all its digits."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.responses import Response

from stepfold.events.values import Citation
from stepfold.gateway.steps import Standing, Step

JSON = "application/json"


class Recorded(Struct, frozen=True, omit_defaults=True):
    """It is in the log at `position`; `events` is where what follows can be heard."""

    conversation: str
    position: int
    at: datetime
    events: str
    message: str = ""


class Conversation(Struct, frozen=True, omit_defaults=True):
    """`position` is its last step's; `stopped` says why nothing happens in it any more."""

    conversation: str
    agent: str
    standing: Standing
    position: int
    turns: int
    started_at: datetime
    contact: str = ""
    channel: str = ""
    stopped: str = ""


class Listed(Struct, frozen=True, omit_defaults=True):
    """One of the customer's conversations; `position` is its first step's."""

    conversation: str
    position: int
    started_at: datetime
    agent: str
    contact: str = ""
    channel: str = ""


class Conversations(Struct, frozen=True):
    """A page, the oldest first; `next` is the `after` of the page behind it, null at the end."""

    conversations: tuple[Listed, ...]
    next: int | None


class Said(Struct, frozen=True, omit_defaults=True):
    """What was said, or why nothing was: then `text` is empty and `why` says it. `outcome` is
    `answer`, or what the agent's rules made of it: `refusal`, `hand_off`.
    """

    position: int
    at: datetime
    role: Literal["contact", "agent"]
    text: str
    contact: str = ""
    message: str = ""
    turn: int = 0
    outcome: str = ""
    why: str = ""
    citations: tuple[Citation, ...] = ()


class Messages(Struct, frozen=True):
    messages: tuple[Said, ...]
    next: int | None


class Steps(Struct, frozen=True):
    steps: tuple[Step, ...]
    next: int | None


class Approval(Struct, frozen=True, omit_defaults=True):
    """A call that waits until so many `people` agree to it. To grant or deny it, name `digest`:
    what runs is exactly this, or nothing.
    """

    conversation: str
    call: str
    name: str
    arguments: dict[str, Any]
    digest: str
    reason: str
    expires_at: datetime
    people: int = 1
    granted_by: tuple[str, ...] = ()


class Approvals(Struct, frozen=True):
    approvals: tuple[Approval, ...]


class Token(Struct, frozen=True):
    """`token` is for the visitor's browser: Authorization: Bearer sfv_…"""

    token: str
    contact: str
    expires_at: datetime


class Health(Struct, frozen=True):
    status: Literal["ok"]


class Ready(Struct, frozen=True):
    """`position` is the log's last step."""

    status: Literal["ok"]
    position: int


class Place(Struct, frozen=True):
    """A way in."""

    path: str
    what: str


class Here(Struct, frozen=True):
    stepfold: str
    places: tuple[Place, ...]


def answer(told: Struct, status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(msgspec.json.encode(told), status, named, media_type=JSON)
