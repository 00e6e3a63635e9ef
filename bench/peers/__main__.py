"""`python -m bench.peers`: run the peers, print one line for each run (`--json`: one JSON object).

A peer that fails prints an object with `error`, and the exit code is 1; a peer that this machine
cannot run prints one with `not_run`.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Iterator

from bench.peers.catalog import CATALOG, PeerAbsent
from bench.peers.postgres import PostgresAbsent
from bench.peers.runs import Plan, run


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = _arguments()
    failed = False
    for plan in _plans(asked):
        said = _ran(plan)
        failed = failed or "error" in said
        print(json.dumps(said) if asked.json else _line(said), flush=True)
    return int(failed)


def _ran(plan: Plan) -> dict[str, object]:
    who: dict[str, object] = {"peer": plan.peer, "processes": plan.processes}
    try:
        return asyncio.run(run(plan))
    except (PeerAbsent, PostgresAbsent) as absent:
        return who | {"not_run": str(absent)}
    except Exception as failure:  # noqa: BLE001 - one peer's trouble must not stop the others
        return who | {"error": f"{type(failure).__name__}: {failure}"}


def _plans(asked: argparse.Namespace) -> Iterator[Plan]:
    for name in asked.only:
        for processes in asked.processes:
            yield Plan(
                peer=name,
                processes=processes,
                conversations=asked.conversations,
                turns=asked.turns,
                at_once=asked.at_once,
                sync=asked.sync,
                repeat=asked.repeat,
                longer=asked.growth and processes == asked.processes[0],
                cap_s=asked.cap,
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(CATALOG), metavar="PEER,...")
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=16, help="over all processes")
    parser.add_argument("--processes", type=_counts, default=[1, 2], metavar="1|2|1,2")
    parser.add_argument("--sync", choices=("interval", "every"), default="interval")
    parser.add_argument("--repeat", type=int, default=1, help="fresh runs; the best rate counts")
    parser.add_argument(
        "--growth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also time per step, and one conversation to 1,000 turns",
    )
    parser.add_argument("--cap", type=float, default=60.0, help="seconds for that conversation")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in CATALOG]:
        known = ", ".join(CATALOG)
        raise argparse.ArgumentTypeError(f"unknown peer {', '.join(unknown)} (known: {known})")
    return names


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",")]


def _line(said: dict[str, object]) -> str:
    name = f"{said['peer']:<28} x{said['processes']} "
    for trouble in ("error", "not_run"):
        if trouble in said:
            return f"{name} {trouble.replace('_', ' ')}: {said[trouble]}"
    parts = [f"{said['turns_per_s']:>7} turns/s", f"bytes x{said['bytes_ratio']}"]
    if "step_ms" in said:
        parts += [f"step ms {said['step_ms']}", *map(_grown, _growth(said))]
    return name + " | ".join(parts)


def _growth(said: dict[str, object]) -> list[dict[str, object]]:
    found = said["growth"]
    assert isinstance(found, list)
    return found


def _grown(at: dict[str, object]) -> str:
    verb = f"stopped after {at['elapsed_s']} s at" if at["stopped"] else "at"
    stored = at["stored_bytes"]
    size = f", {stored / 1e6:.1f} MB" if isinstance(stored, int) else ""
    return f"{verb} turn {at['turn']}: {at['ms_per_turn']} ms a turn{size}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # Ctrl-C or SIGTERM; servers and workers are stopped by now
        sys.exit(130)
