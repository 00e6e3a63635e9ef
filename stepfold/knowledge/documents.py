"""Documents from a folder of Markdown, text and HTML, from one such file, or from a JSONL file.

A folder is read in the order of its relative paths, which become the ids; hidden files are left
out. A file's text is its content, with `\\r\\n` read as `\\n`; a line's `content` is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stepfold.knowledge.document import Document
from stepfold.knowledge.errors import DocumentInvalid, DocumentsMissing
from stepfold.knowledge.markup import plain

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm")
DOCUMENT_BYTES_MAX = 5_000_000

SAMPLE = Path(__file__).parent / "sample"
"""The help centre of an invented product, which ships."""

_FIRST_HEADING = re.compile(r"^#{1,6}[ \t]+([^\n]+)", re.MULTILINE)
_FIELDS = '"id", "title", "content"'


def load(path: Path) -> tuple[Document, ...]:
    """All documents at `path`; raises DocumentsMissing or DocumentInvalid."""
    if not path.exists():
        raise DocumentsMissing(f"documents: {path} does not exist; give a folder or a .jsonl file")
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() == ".jsonl":
        return tuple(_lines(path))
    if path.suffix.lower() in SUFFIXES:
        return (_file(path, path.name),)
    raise DocumentInvalid(
        f"document {path}: unknown kind of file {path.suffix!r} "
        f"(known: .jsonl, {', '.join(SUFFIXES)}, or a folder of them)"
    )


def _folder(folder: Path) -> tuple[Document, ...]:
    found = [
        (file.relative_to(folder), file)
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file()
    ]
    shown = sorted(
        (place.as_posix(), file)
        for place, file in found
        if not any(part.startswith(".") for part in place.parts)
    )
    if not shown:
        raise DocumentsMissing(f"documents: {folder} holds none (known: {', '.join(SUFFIXES)})")
    return tuple(_file(file, place) for place, file in shown)


def _file(file: Path, place: str) -> Document:
    text = _decoded(_bytes(file), str(file)).replace("\r\n", "\n")
    if file.suffix.lower() in (".html", ".htm"):
        title, text = plain(text)
    else:
        heading = _FIRST_HEADING.search(text) if file.suffix.lower() != ".txt" else None
        title = heading[1].strip("# \t") if heading else ""
    return Document(id=place, title=title or _spoken(file.stem), content=text)


def _lines(file: Path) -> Iterator[Document]:
    places: dict[str, int] = {}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            document = _line(line, f"{file}, line {number}")
            if document.id in places:
                raise DocumentInvalid(
                    f"document {file}, line {number}: id {document.id!r} stands on line "
                    f"{places[document.id]} already; give each document an id of its own"
                )
            places[document.id] = number
            yield document
    if not places:
        raise DocumentsMissing(f"documents: {file} holds none; write one {{{_FIELDS}}} per line")


def _line(line: bytes, place: str) -> Document:
    if len(line) > DOCUMENT_BYTES_MAX:
        raise DocumentInvalid(_too_long(place, len(line)))
    try:
        document = msgspec.json.decode(_decoded(line, place), type=Document)
    except msgspec.ValidationError as error:
        raise DocumentInvalid(
            f"document {place}: {error}; each line needs {_FIELDS}, all strings"
        ) from error
    except msgspec.DecodeError as error:
        raise DocumentInvalid(
            f"document {place}: {error}; each line must be one JSON object with {_FIELDS}"
        ) from error
    if not document.id.strip():
        raise DocumentInvalid(f"document {place}: the id is blank; give each document an id")
    return document


def _bytes(file: Path) -> bytes:
    size = file.stat().st_size
    if size > DOCUMENT_BYTES_MAX:
        raise DocumentInvalid(_too_long(str(file), size))
    return file.read_bytes()


def _too_long(place: str, size: int) -> str:
    return f"document {place}: {size} bytes, at most {DOCUMENT_BYTES_MAX}; split the document"


def _decoded(raw: bytes, place: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        where = place if ", line " in place else f"{place}, line {line}"
        raise DocumentInvalid(
            f"document {where}: not UTF-8 at byte {error.start}; "
            "convert it, e.g. iconv -f latin1 -t utf-8"
        ) from error


def _spoken(stem: str) -> str:
    return stem.replace("-", " ").replace("_", " ").strip().capitalize()
