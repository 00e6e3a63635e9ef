"""What an image shows, and what is written in it."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from stepfold.events.values import FileRef
from stepfold.routing import Need
from stepfold.tasks.brief import MATERIAL, Brief, TaskRefused, array, described, obj


class DescribeImage(Struct, frozen=True, forbid_unknown_fields=True):
    """To have in words what a contact sent as a picture: a screenshot with an error, a receipt, a
    photo of what is broken. `image` names it; its bytes are in the object store.
    """

    image: FileRef
    question: str = ""

    name: ClassVar[str] = "describe_image"
    instructions: ClassVar[str] = (
        "Describe an image that a contact sent to a support desk. Copy what is written in it letter"
        " by letter. Say only what is to be seen, and name no person. Answer the question about it,"
        " if there is one. " + MATERIAL
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"vision"})
    plain: ClassVar[str] = "question"
    file: ClassVar[str] = "image"

    def brief(self) -> Brief:
        if not self.image.media.startswith("image/"):
            name = self.image.name or "the file"
            raise TaskRefused(f"{name} is {self.image.media}, no image: nothing was asked")
        return Brief(
            task=self.name,
            input=self.question or "Describe this image.",
            schema=_SCHEMA,
            instructions=self.instructions,
            files=(self.image,),
        )


_SCHEMA = obj(
    kind={"type": "string", "enum": ["screenshot", "photo", "document", "chart", "drawing"]},
    description=described("string", "in two to four sentences"),
    text=array({"type": "string"}, "what is written in it, a line each, letter by letter"),
    errors=array({"type": "string"}, "error messages and error codes among that"),
    personal={"type": "boolean", "description": "does it show names, faces, addresses or cards?"},
    answer=described(["string", "null"], "to the question, null when there is none"),
)
