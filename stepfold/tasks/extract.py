"""Values out of a text, each with the words it stands in."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from stepfold.routing import Need
from stepfold.tasks.brief import MATERIAL, Brief, Json, array, described, obj

_QUOTE = described(["string", "null"], "the words of the text that say so, letter by letter")


class Extract(Struct, frozen=True, forbid_unknown_fields=True):
    """To fill in a form from what somebody wrote: order numbers, dates, amounts, addresses.
    `fields` are names with what each means. What the text does not say is null, never guessed.
    Without fields all facts of the text are listed.
    """

    text: str
    fields: dict[str, str] = {}

    name: ClassVar[str] = "extract"
    instructions: ClassVar[str] = (
        "Take values out of the text. Give each as the text has it, with the words it stands in."
        " What the text does not say is null: guess nothing, reckon nothing. " + MATERIAL
    )
    needs: ClassVar[frozenset[Need]] = frozenset()
    plain: ClassVar[str] = "text"
    file: ClassVar[str] = ""

    def brief(self) -> Brief:
        schema = obj(**_fields(self.fields)) if self.fields else _FACTS
        return Brief(self.name, self.text, schema, self.instructions)


def _fields(fields: dict[str, str]) -> dict[str, Any]:
    return {name: _field(meaning or name) for name, meaning in fields.items()}


def _field(meaning: str) -> Json:
    value = described(["string", "null"], meaning)
    return {**obj(value=value, quote=_QUOTE), "description": meaning}


_FACTS = obj(
    facts=array(
        obj(
            name=described("string", "what it is, such as order number"),
            value=described("string", "as the text has it"),
            quote=described("string", "the words of the text that say so, letter by letter"),
        ),
        "every number, date, amount, name and address in the text",
    )
)
