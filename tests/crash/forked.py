"""Worker processes from a server that has imported everything once, so that a kill is cheap."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.crash.worker import Plan, main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.crash.forked", "jsonschema", "referencing.jsonschema"])


class Worker:
    """A process that works as `plan` says, until it is killed or kills itself."""

    def __init__(self, plan: Plan, said: Path) -> None:
        self._ours, theirs = FORKS.Pipe(duplex=False)
        self.process: BaseProcess = FORKS.Process(target=_work, args=(plan, theirs, said))
        self.process.start()
        theirs.close()

    async def ready(self) -> None:
        await asyncio.to_thread(self._ours.recv)

    async def ends(self, within_s: float = 20) -> int | None:
        """Minus the signal that ended it; None: it lives."""
        await asyncio.to_thread(self.process.join, within_s)
        return self.process.exitcode

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def clear(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self._ours.close()


def _work(plan: Plan, ready: Connection, said: Path) -> None:
    logging.basicConfig(filename=said, level=logging.WARNING)
    asyncio.run(main(plan, lambda: ready.send(None)))
