"""What strangers send, checked: nothing that is not named here, nothing of another type."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

TEXT_CHARS_MAX = 100_000
NAME = r"^[A-Za-z0-9_=+@:~-]{1,128}$"
NAME_OR_NONE = r"^[A-Za-z0-9_=+@:~-]{0,128}$"
TOKEN_S_MIN, TOKEN_S_MAX, TOKEN_S = 60, 86_400, 3_600


def _whole(number: object) -> object:
    """JSON has one kind of number: 60.0 is 60."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


WHOLE = BeforeValidator(_whole)
Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TEXT_CHARS_MAX),
    Field(json_schema_extra={"pattern": r"\S"}),
]
Contact = Annotated[
    str,
    Field(max_length=128, description="Who writes, by your own name of them."),
]
Language = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3})?$"),
    Field(description="What it is written in, as `de` or `pt-BR`."),
]
Comment = Annotated[str, StringConstraints(max_length=2_000)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Begin(_Given):
    conversation: Annotated[
        str,
        StringConstraints(pattern=NAME_OR_NONE),
        Field(description="Your own name of it; empty: one is made. One that is there is joined."),
    ] = ""
    text: Annotated[
        Text, Field(description="The first message; left out: nothing is said yet.")
    ] = ""
    contact: Contact = ""
    language: Language = ""
    agent: Annotated[str, Field(max_length=128, description="Empty: the appointed one.")] = ""


class Say(_Given):
    text: Text
    contact: Contact = ""
    language: Language = ""


class Cancel(_Given):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] = "cancelled"


class Rate(_Given):
    turn: Annotated[
        int, Field(ge=1, description="Whose answer, as `response.given` names it."), WHOLE
    ]
    rating: Literal["good", "bad"]
    comment: Comment = ""


class Decide(_Given):
    digest: Annotated[
        str,
        StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$"),
        Field(description="Of the call that was seen, as the list of approvals names it."),
    ]
    person: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        Field(description="Who decides; the holder of the key vouches for it."),
    ]
    comment: Comment = ""


class Vouch(_Given):
    contact: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        Field(description="Your own name of the visitor; it has the conversations of this name."),
    ]
    conversation: Annotated[
        str,
        StringConstraints(pattern=NAME_OR_NONE),
        Field(description="Only this one; empty: all that the contact began."),
    ] = ""
    origin: Annotated[
        str,
        StringConstraints(pattern=r"^(https?://[a-z0-9.:\[\]-]{1,253})?$"),
        Field(description="The site whose pages may use the token; empty: those of the key."),
    ] = ""
    lasts_s: Annotated[int, Field(ge=TOKEN_S_MIN, le=TOKEN_S_MAX), WHOLE] = TOKEN_S
