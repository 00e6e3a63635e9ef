"""A document and the name of its content.

The content is what citations point into: spans count its code points, the digest names it, and
nothing here ever rewrites it.
"""

from __future__ import annotations

from hashlib import sha256

from msgspec import Struct


class Document(Struct, frozen=True):
    """`id` is unique in its collection: the relative path of a file, or what a line says."""

    id: str
    title: str
    content: str

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of the content as UTF-8; computed anew each time."""
        return "sha256:" + sha256(self.content.encode()).hexdigest()
