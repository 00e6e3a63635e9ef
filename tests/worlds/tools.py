"""Tools of every kind in a world, and the server on their far side, which counts what it has done.

What must never repeat is done at each request. What is idempotent is done once for each key. What
reconciles is done at each request, and can be looked up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from stepfold.events.values import Arguments
from stepfold.tools.tool import Tool, ToolError, ToolSpec
from stepfold.tools.unsure import Unsure

if TYPE_CHECKING:
    from tests.worlds.world import Process

STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SPECS: Mapping[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        ToolSpec("t1"),
        ToolSpec("t2", "", STRICT, effect="write"),
        ToolSpec("keyed", effect="write", recovery="idempotent"),
        ToolSpec("found", effect="external", recovery="reconcile"),
        ToolSpec("look", effect="read"),
    )
}


def specs(chance: Random) -> Mapping[str, ToolSpec]:
    """The company vouches for some of them."""
    return {name: replace(spec, trusted=chance.random() < 0.6) for name, spec in SPECS.items()}


class Far:
    """The server behind the tools: `done` counts effects by the key of their call."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def ask(self, spec: ToolSpec, call: str) -> None:
        once = spec.recovery == "idempotent" and self.done[call]
        if spec.effect != "read" and not once:
            self.done[call] += 1


class WorldTool:
    def __init__(self, process: Process, spec: ToolSpec) -> None:
        self._process = process
        self.spec = spec

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        world = self._process.world
        await self._process.gate("tool started")
        world.ran(self._process, self.spec.name, call)
        await self._trouble(ToolError("out of stock"))
        world.far.ask(self.spec, call)
        await self._process.gate("tool finished")
        await self._trouble(Unsure("the answer was cut"))
        return {"n": arguments.get("n")}

    async def _trouble(self, error: Exception) -> None:
        world = self._process.world
        if world.chance.random() >= world.plan.trouble / 2:
            return
        match world.chance.randrange(3):
            case 0:
                raise error
            case 1:
                raise RuntimeError("a bug in the tool")
            case _:
                await asyncio.sleep(world.chance.random() * 12)


class Reconciled(WorldTool):
    async def reconcile(self, arguments: Arguments, *, call: str) -> Any:
        world = self._process.world
        await self._process.gate("looking up")
        if world.chance.random() < world.plan.trouble / 3:
            raise ToolError("the books are closed")
        found = world.far.done[call]
        await self._process.gate("looked up")
        return {"n": "found"} if found else None


def tools(process: Process) -> dict[str, Tool]:
    kinds = {"found": Reconciled}
    return {
        name: kinds.get(name, WorldTool)(process, spec)
        for name, spec in process.world.plan.specs.items()
    }
