"""Many worlds, or the story of one: python -m tests.worlds --worlds 20000 | --seed N."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.worlds.world import Report, World

CHUNK = 250
SHOWN = ("worlds", "conversations", "steps", "deliveries", "model calls", "tool runs")
FAULTS = ("crashes", "conflicts", "redeliveries", "log away")
EFFECTS = ("effects", "taken up", "people asked", "answers", "answers refused", "answers forged")


def main() -> int:
    logging.disable(logging.CRITICAL)
    options = _options()
    if options.seed is not None:
        return _story(options.seed)
    return _many(options.first, options.worlds, options.processes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.worlds", description=__doc__)
    parser.add_argument("--seed", type=int, help="tell the story of this one world")
    parser.add_argument("--worlds", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def _story(seed: int) -> int:
    world = World(seed, tell=print)
    print(world.plan)
    report = world.run()
    print("\n".join(report.violations) or f"world {seed} came to rest, every law holds")
    return 1 if report.violations else 0


def _many(first: int, worlds: int, processes: int) -> int:
    begin = time.perf_counter()
    counts: Counter[str] = Counter()
    failed: list[Report] = []
    chunks = [(n, min(CHUNK, first + worlds - n)) for n in range(first, first + worlds, CHUNK)]
    with multiprocessing.Pool(processes) as pool:
        for some, broken in pool.imap_unordered(run_chunk, chunks):
            counts += some
            failed += broken
    took_s = time.perf_counter() - begin
    print(", ".join(f"{counts[name]:,} {name}" for name in SHOWN))
    print(", ".join(f"{counts[name]:,} {name}" for name in FAULTS))
    print(", ".join(f"{counts[name]:,} {name}" for name in EFFECTS))
    print(f"{took_s:.1f} s, {counts['cpu_us'] / 1000 / worlds:.2f} ms of one core a world")
    violations = sum(len(report.violations) for report in failed)
    print(f"{violations} violations in {len(failed)} worlds")
    print("\n".join(_told(failed)))
    return 1 if failed else 0


def _told(failed: list[Report]) -> Iterator[str]:
    for report in sorted(failed, key=lambda report: report.seed)[:20]:
        yield f"python -m tests.worlds --seed {report.seed}"
        yield from (f"    {violation}" for violation in report.violations[:5])


def run_chunk(chunk: tuple[int, int]) -> tuple[Counter[str], list[Report]]:
    logging.disable(logging.CRITICAL)
    first, worlds = chunk
    counts: Counter[str] = Counter()
    broken: list[Report] = []
    begin = time.process_time()
    for seed in range(first, first + worlds):
        report = World(seed).run()
        counts += report.counts
        if report.violations:
            broken.append(report)
    counts["cpu_us"] = round((time.process_time() - begin) * 1_000_000)
    return counts, broken


if __name__ == "__main__":
    sys.exit(main())
