"""The description is what the gateway does: asked by Schemathesis."""

from __future__ import annotations

import asyncio
import os
import sys

import jsonschema
import msgspec

from stepfold.gateway.limits import Limits, Rate
from stepfold.gateway.openapi import document
from stepfold.gateway.serving import Made
from stepfold.gateway.table import DOORS
from tests.gateway.house import House, anybody

SLOW = "STEPFOLD_SLOW" in os.environ
EXAMPLES = "100" if SLOW else "3"
PHASES = "examples,coverage,fuzzing,stateful" if SLOW else "examples,coverage,fuzzing"
SEED = "5"
MANY = Rate(100_000, 100_000)
CONFIG = """
[[operations]]
include-operation-id = "hearConversation"
parameters = { until = "rest" }
"""
"""Without it that stream never ends. For the protocols of others there is test_openai_schema.py."""


async def test_schemathesis_finds_no_failure(home: House) -> None:
    await home.work()
    await home.view()
    limits = Limits(address=MANY, key=MANY, wrong=MANY)
    url = await home.open_gateway(Made(limits=limits))
    config = home.here.folder / "schemathesis.toml"
    config.write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        *(f"{url}/openapi.json", "--continue-on-failure"),
        *("-H", f"Authorization: Bearer {await home.key()}"),
        *("--phases", PHASES, "--max-examples", EXAMPLES, "--seed", SEED),
        *("--exclude-tag", "openai", "--exclude-tag", "ai-sdk", "--exclude-tag", "ag-ui"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=home.here.folder,
    )

    told, _ = await process.communicate()

    assert process.returncode == 0, told.decode()[-10_000:]


def test_every_example_fits_its_schema() -> None:
    told = document(DOORS)
    schemas = told["components"]["schemas"]
    checked = 0
    for operations in told["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).values()
            for answer in operation["responses"].values():
                content = [*content, *answer.get("content", {}).values()]
            for each in content:
                if "example" in each and "$ref" in each["schema"]:
                    schema = {**each["schema"], "components": {"schemas": schemas}}
                    jsonschema.validate(each["example"], schema)
                    checked += 1

    assert checked


async def test_it_is_there_for_everybody_and_names_every_door(home: House) -> None:
    async with anybody(home.url) as client:
        told = msgspec.json.decode((await client.get("/openapi.json")).content)
        here = (await client.get("/")).json()
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        head = await client.head("/healthz")

    doors = {(door.path, door.method.lower()) for door in DOORS if door.about}
    assert {(path, method) for path, ways in told["paths"].items() for method in ways} == doors
    assert len(here["places"]) == len(doors)
    assert (alive.json(), ready.json()["status"]) == ({"status": "ok"}, "ok")
    assert (head.status_code, head.content) == (200, b"")
