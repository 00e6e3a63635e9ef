"""Files that contacts send: fetched and kept before the log names them. Their addresses are not
kept: whoever has one can read the file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import httpx2
from msgspec.structs import replace

from stepfold.channels.teams.arrived import Attached
from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.connector import BotToken
from stepfold.events.values import FileRef
from stepfold.streams.log import FileRefused
from stepfold.tools.guard import client
from stepfold.tools.tool import ToolError

FETCH_S = 8.0
"""Teams waits about 15 s for its answer."""
FILE_BYTES_MAX = 20_000_000
HTTP_OK = 200

Keep = Callable[[bytes], Awaitable[str]]
"""Keeps bytes; returns their name in the object store."""
log = logging.getLogger("stepfold.teams")


class Attachments:
    def __init__(self, config: TeamsConfig, token: BotToken, keep: Keep) -> None:
        self._reach = replace(config.reach, bytes_max=FILE_BYTES_MAX, timeout_s=FETCH_S)
        self._token = token
        self._keep = keep

    async def fetch(self, files: Sequence[Attached]) -> tuple[tuple[FileRef, ...], tuple[str, ...]]:
        """Those that were fetched, and the names of those that could not be."""
        found = await asyncio.gather(*(self._fetch(each) for each in files))
        missing = (each.name for each, file in zip(files, found, strict=True) if file is None)
        return tuple(file for file in found if file is not None), tuple(missing)

    async def _fetch(self, file: Attached) -> FileRef | None:
        try:
            async with asyncio.timeout(FETCH_S):
                headers = (
                    {"Authorization": f"Bearer {await self._token.get()}"} if file.ours else {}
                )
                async with client(self._reach) as web:
                    response = await web.get(file.url, headers=headers)
                if response.status_code != HTTP_OK:
                    log.info("a file of a contact is not there: HTTP %d", response.status_code)
                    return None
                return FileRef(file.media, blob=await self._keep(response.content), name=file.name)
        except (httpx2.HTTPError, ToolError, FileRefused, OSError) as error:
            log.info("a file of a contact could not be fetched: %s", type(error).__name__)
            return None
