"""The views, kept by a process that serves: at once, or when whoever keeps them ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from stepfold.app import Opened
from stepfold.cli.exits import text
from stepfold.cli.screen import warn
from stepfold.cli.viewing import AGAIN_S, own_views
from stepfold.settings import Settings

_PID = re.compile(r"\(PID (\d+)\)")


class _Where(Struct, frozen=True):
    """`kept` is set while they are kept here, `settled` when it is known whether they are."""

    kept: asyncio.Event
    settled: asyncio.Event


@asynccontextmanager
async def keeping(
    found: Opened, here: Settings, *, alone: bool
) -> AsyncIterator[asyncio.Task[None] | None]:
    """Keep the views in a task; None where another process keeps them: then they are taken over
    when it ends. What breaks them ends a process that does nothing else; where workers run too
    they go on without, and that is said.
    """
    where = _Where(asyncio.Event(), asyncio.Event())
    views = asyncio.create_task(_keep(found, here, where, alone=alone))
    waiting = asyncio.create_task(where.settled.wait())
    await asyncio.wait((views, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not alone:
            views.add_done_callback(_say_without)
        elif views.done():
            views.result()
        yield views if where.kept.is_set() and not views.done() else None
    finally:
        views.cancel()
        await asyncio.gather(views, return_exceptions=True)


async def _keep(found: Opened, here: Settings, where: _Where, *, alone: bool) -> None:
    from stepfold.projections.views import ViewsBusy

    while True:
        owning = asyncio.create_task(own_views(found, here, where.kept))
        try:
            await _tell(owning, where)
            return
        except ViewsBusy as error:
            if alone:
                raise
            if not where.settled.is_set():
                warn(_kept_by(error))
            where.settled.set()
        finally:
            owning.cancel()
            await asyncio.gather(owning, return_exceptions=True)
        await asyncio.sleep(AGAIN_S)


async def _tell(owning: asyncio.Task[None], where: _Where) -> None:
    """Until it ends, as it ends; says that they were taken over from somebody."""
    kept = asyncio.create_task(where.kept.wait())
    try:
        await asyncio.wait((owning, kept), return_when=asyncio.FIRST_COMPLETED)
        if where.kept.is_set() and where.settled.is_set():
            warn("whoever kept the views has ended: this one keeps them now")
        if where.kept.is_set():
            where.settled.set()
        await owning
    finally:
        kept.cancel()


def _kept_by(error: Exception) -> str:
    pid = _PID.search(str(error))
    who = f"process {pid[1]}" if pid else "another process"
    return f"the views are kept by {who}; this one goes on without, and takes them when it ends"


def _say_without(views: asyncio.Task[None]) -> None:
    error = None if views.cancelled() else views.exception()
    if error is not None:
        warn(f"without the views: {text(error)}")
