"""A process that tells the spans of a log, and does nothing else, until it is killed.

python -m tests.cli.teller NATS_URL PLACE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from stepfold.app import opened
from stepfold.cli.watching import tracing
from stepfold.settings import Settings

ACK_WAIT_S = 1.0
"""A step that a killed process has in hand goes to another after so long."""


async def main(url: str, place: str) -> None:
    here = Settings(folder=Path(), nats_url=url)
    async with opened(here) as found, tracing(found, place, ack_wait_s=ACK_WAIT_S):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
