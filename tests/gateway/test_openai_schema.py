"""The description of the protocols is what the gateway does: asked by Schemathesis."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.gateway.talker import talking

EXAMPLES = "100" if "STEPFOLD_SLOW" in os.environ else "2"
SEED = "5"
UNTOLD = "positive_data_acceptance"
"""That the last message is the user's, a schema cannot say."""


async def test_schemathesis_finds_no_failure_in_the_protocols(tmp_path: Path) -> None:
    async with talking(tmp_path) as room:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{room.home.url}/openapi.json"),
            *("-H", f"Authorization: Bearer {await room.home.key()}", "--continue-on-failure"),
            *("--max-examples", EXAMPLES, "--seed", SEED, "--exclude-checks", UNTOLD),
            *("--include-tag", "openai", "--include-tag", "ai-sdk", "--include-tag", "ag-ui"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )

        told, _ = await process.communicate()

    assert process.returncode == 0, told.decode()[-10_000:]
