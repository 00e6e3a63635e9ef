"""Files beside a message or an input: their bytes are kept before an event names them."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from stepfold.app import Opened
from stepfold.cli.exits import CommandRefused
from stepfold.events.values import FileRef
from stepfold.streams.log import FileRefused


async def kept(found: Opened, file: Path) -> FileRef:
    """Its bytes go into the object store; the reference says where, and by its name what it is."""
    media, _ = mimetypes.guess_type(file.name)
    if media is None:
        raise CommandRefused(f"{file}: its name says no kind: end it in .png, .jpg, .pdf")
    try:
        return FileRef(media, await found.files.put(file.read_bytes()), name=file.name)
    except FileRefused as error:
        raise CommandRefused(f"{file}: {error}") from error
