"""Start-up of each sandbox: from the call to the result of `1 + 1`, at the middle and the worst.

    python -m bench.sandbox [--runs N] [--json]

`warm` is what a worker's next call finds, `cold` a sandbox's first. A backend that cannot isolate
here is told with its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from statistics import median

import msgspec

from stepfold.sandbox.backends import BACKENDS, sandbox
from stepfold.sandbox.sandbox import Code, Sandbox

PAUSE_S = 0.1
"""Between two calls: a worker's calls come one by one, not back to back."""
COLD_RUNS = 7
TARGET_MS = {"monty": 5.0, "process": 100.0}
ONE = Code("1 + 1")


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    backend: str
    target_ms: float | None = None
    warm_p50_ms: float | None = None
    warm_max_ms: float | None = None
    cold_p50_ms: float | None = None
    missing: str = ""


async def measure(name: str, runs: int) -> Row:
    where = sandbox(name)
    if missing := await where.missing():
        return Row(name, TARGET_MS.get(name), missing=missing)
    try:
        await _run_ms(where)
        warm = []
        for _ in range(runs):
            await asyncio.sleep(PAUSE_S)
            warm.append(await _run_ms(where))
        cold = []
        for _ in range(COLD_RUNS):
            await where.close()
            cold.append(await _run_ms(where))
    finally:
        await where.close()
    return Row(
        name,
        TARGET_MS.get(name),
        round(median(warm), 2),
        round(max(warm), 2),
        round(median(cold), 2),
    )


async def _run_ms(where: Sandbox) -> float:
    begin = time.perf_counter()
    ran = await where.run(ONE)
    assert (ran.outcome, ran.result) == ("ok", 2), ran
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for name in BACKENDS:
        row = msgspec.to_builtins(asyncio.run(measure(name, asked.runs)))
        print(json.dumps(row) if asked.json else "  ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
