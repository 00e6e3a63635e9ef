"""What can go wrong with knowledge. Each text names the thing, the place and the way out.

KnowledgeError
├── DocumentInvalid      a file or a line that is not a document
├── DocumentsMissing     a path that does not exist, or holds no document
├── CollectionInvalid    a name, or a stored collection, that cannot be used
├── CollectionUnknown    nothing was ever added under that name
└── CollectionBusy       somebody else has been writing for too long
"""

from __future__ import annotations


class KnowledgeError(Exception):
    """Catch this one to catch them all."""


class DocumentInvalid(KnowledgeError):
    """A file or a line that is not a document."""


class DocumentsMissing(KnowledgeError):
    """A path that does not exist, or holds no document."""


class CollectionInvalid(KnowledgeError):
    """A name, or a stored collection, that cannot be used."""


class CollectionUnknown(KnowledgeError):
    """Nothing was ever added under that name."""


class CollectionBusy(KnowledgeError):
    """Somebody else has been writing for too long."""
