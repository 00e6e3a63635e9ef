"""Knowledge kept in a folder, one collection per name in it.

Adding is safe against crashes and against other processes adding at the same time; searching sees
what was added by anybody, from the next search on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from stepfold.events.values import Passage
from stepfold.knowledge import store
from stepfold.knowledge.document import Document
from stepfold.knowledge.errors import CollectionInvalid, CollectionUnknown
from stepfold.knowledge.index import Index, search_all
from stepfold.knowledge.lock import locked

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Added(Struct, frozen=True):
    """What an addition did, by document id; `documents` is how many the collection now holds."""

    collection: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    documents: int


class Collection(Struct, frozen=True):
    name: str
    documents: int
    characters: int


class _Loaded(Struct, frozen=True):
    version: tuple[int, int, int]
    index: Index


class Library:
    """Implements Knowledge. `folder` need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, _Loaded] = {}

    def add(self, collection: str, documents: Iterable[Document]) -> Added:
        """Adds documents, replacing those of equal id; raises CollectionInvalid or -Busy."""
        folder = self._place(collection)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock"):
            held = {document.id: document for document in store.read(folder)}
            wanted = {document.id: document for document in documents}
            after = held | wanted
            if after != held or not held:
                store.write(folder, after.values())
        return Added(
            collection=collection,
            added=tuple(sorted(wanted.keys() - held.keys())),
            changed=tuple(sorted(i for i in wanted if i in held and held[i] != wanted[i])),
            unchanged=tuple(sorted(i for i in wanted if held.get(i) == wanted[i])),
            documents=len(after),
        )

    def collections(self) -> tuple[Collection, ...]:
        """All of them, by name."""
        return tuple(
            Collection(name, len(documents), sum(len(each.content) for each in documents))
            for name in self._names()
            for documents in (store.read(self._folder / name),)
        )

    def documents(self, collection: str) -> tuple[Document, ...]:
        """In the order of their ids; raises CollectionUnknown."""
        return store.read(self._known(collection))

    def index(self, collection: str) -> Index:
        """What stands in the folder now, loaded only if it is newer; raises CollectionUnknown."""
        fresh = self._fresh(collection)
        if fresh is None:
            folder = self._known(collection)
            # The version is taken first: whoever writes meanwhile makes the next search load again.
            version = _version(folder)
            fresh = store.index(folder)
            self._loaded[collection] = _Loaded(version, fresh)
        return fresh

    async def search(
        self, collections: Sequence[str], query: str, k: int, /
    ) -> tuple[Passage, ...]:
        """Loading goes to a thread; the search itself (about 1 ms) does not."""
        indexes = []
        for name in collections:
            fresh = self._fresh(name)
            if fresh is None:
                fresh = await asyncio.to_thread(self.index, name)
            indexes.append(fresh)
        return search_all(indexes, query, k)

    def _fresh(self, collection: str) -> Index | None:
        loaded = self._loaded.get(collection)
        if loaded and loaded.version == _version(self._known(collection)):
            return loaded.index
        return None

    def _known(self, collection: str) -> Path:
        folder = self._place(collection)
        if not (folder / store.DOCUMENTS).exists():
            known = ", ".join(self._names()) or "none"
            raise CollectionUnknown(
                f"collection {collection!r}: unknown (known: {known}); "
                f"add it: stepfold knowledge add PATH --collection {collection}"
            )
        return folder

    def _names(self) -> list[str]:
        return sorted(file.parent.name for file in self._folder.glob(f"*/{store.DOCUMENTS}"))

    def _place(self, collection: str) -> Path:
        if not _NAME.fullmatch(collection):
            raise CollectionInvalid(
                f"collection {collection!r}: not a name; "
                "use 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit"
            )
        return self._folder / collection


def _version(folder: Path) -> tuple[int, int, int]:
    """Differs after each write: a rename brings another inode, and time and size on top."""
    stat = (folder / store.DOCUMENTS).stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
