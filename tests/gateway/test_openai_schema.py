"""The description of the protocols is what the gateway does: asked by Schemathesis."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.gateway.talker import talking

EXAMPLES = "100" if "STEPFOLD_SLOW" in os.environ else "2"
SEED = "5"
SAYS = ("completeChat", "createResponse", "chatWithAiSdk", "runAgent")
CONFIG = f"""
[[operations]]
include-operation-id = {list(SAYS)}
checks.positive_data_acceptance.enabled = false
"""
"""Only here: a schema cannot say that the last element of a list must be the user's, with text in
it, and a gateway that answered anything else with success would lie to its client.
"""


async def test_schemathesis_finds_no_failure_in_the_protocols(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    async with talking(tmp_path) as room:
        described = await (await room.home.client()).get("/openapi.json")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
            *(f"{room.home.url}/openapi.json", "--continue-on-failure"),
            *("-H", f"Authorization: Bearer {await room.home.key()}"),
            *("--max-examples", EXAMPLES, "--seed", SEED),
            *("--include-tag", "openai", "--include-tag", "ai-sdk", "--include-tag", "ag-ui"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )

        told, _ = await process.communicate()

    assert all(f'"{name}"' in described.text for name in SAYS)
    assert process.returncode == 0, told.decode()[-10_000:]
