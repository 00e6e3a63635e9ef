"""What arrives from Microsoft Teams.

Said         a person wrote to the bot
Decided      a person pressed a button of an approval card
Installed    the bot came into a conversation
Ignored      nothing for the bot: an edit, a reaction, another bot, a word to somebody else
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from stepfold.channels.teams.places import Where

PRESSED = "stepfold.approval"
Answer = Literal["approve", "deny"]


class Attached(Struct, frozen=True):
    """A file that lies at `url`; `ours`: behind the bot's own token."""

    name: str
    media: str
    url: str
    ours: bool = False


class Person(Struct, frozen=True):
    """`id` is the object id of Entra where Teams tells it."""

    id: str
    name: str = ""


class Heard(Struct, frozen=True):
    """`id` is the activity's own: the same id in the same conversation is the same activity."""

    tenant: str
    conversation: str
    id: str
    where: Where


class Said(Heard, frozen=True):
    person: Person
    text: str
    language: str = ""
    files: tuple[Attached, ...] = ()


class Decided(Heard, frozen=True):
    """`about` is the name of the conversation whose call waits. `invoked`: the card waits for its
    answer in the response.
    """

    person: Person
    about: str
    call: str
    digest: str
    answer: Answer
    invoked: bool = True


class Installed(Heard, frozen=True):
    pass


class Ignored(Struct, frozen=True):
    """`status` is what the Bot Framework is answered: 501 for what is not implemented."""

    why: str
    status: int = 200


Arrived = Said | Decided | Installed | Ignored
