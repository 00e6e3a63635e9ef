"""Which of your labels a text bears."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from stepfold.routing import Need
from stepfold.tasks.brief import MATERIAL, Brief, TaskRefused, array, described, obj


class Classify(Struct, frozen=True, forbid_unknown_fields=True):
    """To sort what contacts write: the topic of a message, its urgency, its language, the team that
    it goes to. `labels` are names, or names with what each means, which sorts better. One label is
    given, the best; with `several` all that fit, in order, maybe none.
    """

    text: str
    labels: dict[str, str] | list[str]
    several: bool = False

    name: ClassVar[str] = "classify"
    instructions: ClassVar[str] = (
        "Say which label fits the text. Go by what its writer wants, not by single words. When two"
        " fit, take the narrower one. " + MATERIAL
    )
    needs: ClassVar[frozenset[Need]] = frozenset()
    plain: ClassVar[str] = "text"
    file: ClassVar[str] = ""

    def brief(self) -> Brief:
        names = list(dict.fromkeys(self.labels))
        if not names:
            raise TaskRefused("task classify: `labels` is empty: name at least one")
        label = {"type": "string", "enum": names}
        reason = described("string", "in one short sentence")
        many = obj(labels=array(label, "all that fit, the best first"), reason=reason)
        one = obj(label={**label, "description": "the one that fits best"}, reason=reason)
        meanings = self.labels if isinstance(self.labels, dict) else {}
        return Brief(
            task=self.name,
            input=self.text,
            schema=many if self.several else one,
            instructions="\n".join((self.instructions, *_meant(meanings))),
        )


def _meant(meanings: dict[str, str]) -> list[str]:
    return ["The labels:", *(f"- {name}: {told}" for name, told in meanings.items())] * bool(
        meanings
    )
