"""What a model call costs beside the model: stepfold's provider layer, the bare SDK and LiteLLM,
one after the other in each round, against the same canned server on loopback.

    python -m bench.providers [--peers PYTHON] [--calls N] [--rounds N] [--json]

`--peers` is the Python of an environment with LiteLLM. Medians of the rounds; what is above the
bare SDK is a layer's overhead (below zero: it does less than the SDK's own objects).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

APIS = ("chat", "anthropic")
Case = tuple[str, bool]
Told = Mapping[str, float]


@contextmanager
def canned() -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, "-m", "bench.canned"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


def measured(python: str, side: str, case: Case, url: str, calls: int) -> Told:
    api, stream = case
    command = [python, "-m", "bench.provider_side", "--side", side, "--api", api, "--url", url]
    command += ["--calls", str(calls), *(["--stream"] if stream else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
    told: Told = json.loads(done.stdout.splitlines()[-1])
    return told


def rows(peers: str, calls: int, rounds: int) -> Iterator[dict[str, object]]:
    sides = {"sdk": sys.executable, "stepfold": sys.executable}
    if peers:
        sides["litellm"] = peers
    cases = [(api, stream) for api in APIS for stream in (False, True)]
    taken: dict[tuple[Case, str], list[Told]] = defaultdict(list)
    with canned() as url:
        for _ in range(rounds):
            for case in cases:
                for side, python in sides.items():
                    taken[case, side].append(measured(python, side, case, url, calls))
    for case in cases:
        yield _row(case, {side: taken[case, side] for side in sides})


def _row(case: Case, taken: Mapping[str, list[Told]]) -> dict[str, object]:
    api, stream = case
    row: dict[str, object] = {"api": api, "stream": stream}
    base = _median(taken["sdk"], "wall_us")
    for side, told in taken.items():
        wall, cpu = _median(told, "wall_us"), _median(told, "cpu_us")
        row |= {f"{side}_us": round(wall), f"{side}_cpu_us": round(cpu)}
        if side != "sdk":
            row |= {f"{side}_to_sdk": round(wall / base, 2)}
    return row


def _median(told: list[Told], what: str) -> float:
    return statistics.median(each[what] for each in told)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.providers", description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", default="")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    asked = parser.parse_args()
    for row in rows(asked.peers, asked.calls, asked.rounds):
        print(json.dumps(row) if asked.json else _line(row), flush=True)


def _line(row: Mapping[str, object]) -> str:
    streamed = "streamed" if row["stream"] else "whole"
    told = [f"{name} {value}" for name, value in row.items() if name not in {"api", "stream"}]
    return f"{row['api']} {streamed}: " + ", ".join(told)


if __name__ == "__main__":
    main()
