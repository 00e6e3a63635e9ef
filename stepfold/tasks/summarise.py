"""What a conversation came to, for the person who takes it over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from msgspec import Struct

from stepfold.events.event import Event, MessageReceived, ResponseGiven, TurnAbandoned
from stepfold.routing import Need
from stepfold.tasks.brief import MATERIAL, Brief, TaskRefused, array, described, obj


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    by: Literal["contact", "agent"]
    text: str


class Summarise(Struct, frozen=True, forbid_unknown_fields=True):
    """To hand a conversation of the log to a person, or to file it: what the contact wants, what
    was done, what is still open. `told` makes the input of recorded steps.
    """

    messages: list[Said]

    name: ClassVar[str] = "summarise"
    instructions: ClassVar[str] = (
        "Sum up a conversation between a contact and a support agent, for a colleague who takes it"
        " over and reads nothing else. Say only what was said in it. Keep names, numbers and dates."
        " Write in the contact's language. " + MATERIAL
    )
    needs: ClassVar[frozenset[Need]] = frozenset()
    plain: ClassVar[str] = ""
    file: ClassVar[str] = ""

    def brief(self) -> Brief:
        if not self.messages:
            raise TaskRefused("task summarise: nothing was said yet: there is nothing to sum up")
        lines = [f"{said.by}: {said.text}" for said in self.messages]
        return Brief(self.name, "\n\n".join(lines), _SCHEMA, self.instructions)


def told(steps: Iterable[Event]) -> Summarise:
    """What was said in these steps, in order; of a turn without an answer, that it has none."""
    messages: list[Said] = []
    for step in steps:
        match step:
            case MessageReceived(text=text):
                messages.append(Said("contact", text))
            case ResponseGiven(text=text):
                messages.append(Said("agent", text))
            case TurnAbandoned(reason=reason):
                messages.append(Said("agent", f"(gave no answer: {reason})"))
            case _:
                continue
    return Summarise(messages)


_SCHEMA = obj(
    summary=described("string", "two to four sentences"),
    wanted=described("string", "what the contact wants, in one sentence"),
    done=array({"type": "string"}, "what the agent did or promised"),
    still_open=array({"type": "string"}, "what is still to be done, empty when nothing is"),
    resolved={"type": "boolean", "description": "has the contact got what was wanted?"},
    mood={
        "type": "string",
        "enum": ["content", "neutral", "unhappy", "angry"],
        "description": "the contact's, at the end",
    },
)
