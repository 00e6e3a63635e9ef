"""Documents, the passages found in them, and where they are kept. Imports no search library."""

from __future__ import annotations

from stepfold.knowledge.document import Document
from stepfold.knowledge.errors import (
    CollectionBusy,
    CollectionInvalid,
    CollectionUnknown,
    DocumentInvalid,
    DocumentsMissing,
    KnowledgeError,
)
from stepfold.knowledge.knowledge import Knowledge

__all__ = [
    "CollectionBusy",
    "CollectionInvalid",
    "CollectionUnknown",
    "Document",
    "DocumentInvalid",
    "DocumentsMissing",
    "Knowledge",
    "KnowledgeError",
]
