"""One collection on disk: `documents.jsonl` is the truth, `index-<key>` follows from it.

Both appear whole or not at all: written beside their place, synced, then renamed. The key names
the documents and the make of the index, so an index is never used for what it was not built from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import msgspec

from stepfold.knowledge.document import Document
from stepfold.knowledge.errors import CollectionInvalid
from stepfold.knowledge.index import Index, make

DOCUMENTS = "documents.jsonl"

# What a missing, cut or foreign file of an index raises; the documents are there to build it anew.
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, msgspec.MsgspecError)


def read(folder: Path) -> tuple[Document, ...]:
    """The documents of the collection in `folder`, in the order of their ids."""
    file = folder / DOCUMENTS
    return _decoded(file.read_bytes(), file) if file.exists() else ()


def write(folder: Path, documents: Iterable[Document]) -> None:
    """Replaces the collection; the caller holds its lock."""
    ordered = sorted(documents, key=lambda document: document.id)
    lines = msgspec.json.Encoder().encode_lines(ordered)
    beside = folder / f"{DOCUMENTS}.new"
    with beside.open("wb") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / DOCUMENTS)
    _sync(folder)
    _write_index(folder, Index.build(ordered), _key(lines))


def index(folder: Path) -> Index:
    """The saved index when it fits the documents, else one built from them."""
    file = folder / DOCUMENTS
    lines = file.read_bytes()
    try:
        return Index.load(folder / _key(lines))
    except _UNREADABLE:
        return Index.build(_decoded(lines, file))


def _write_index(folder: Path, built: Index, key: str) -> None:
    beside = folder / "index.new"
    shutil.rmtree(beside, ignore_errors=True)
    built.save(beside)
    for old in folder.glob("index-*"):
        shutil.rmtree(old, ignore_errors=True)  # a reader of it builds its own
    beside.rename(folder / key)


def _key(lines: bytes) -> str:
    return "index-" + sha256(make().encode() + b"\n" + lines).hexdigest()[:32]


def _decoded(lines: bytes, file: Path) -> tuple[Document, ...]:
    try:
        return tuple(msgspec.json.Decoder(Document).decode_lines(lines))
    except msgspec.DecodeError as error:
        raise CollectionInvalid(
            f"collection {file.parent.name!r}: {file} is damaged ({error}); "
            "remove it and add the documents again"
        ) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
