"""`python -m bench`: stepfold and its peers side by side, on this machine, in this run.

    python -m bench [--peers PYTHON] [--only turns,growth,...] [--quick]

`--peers` is the Python of an environment with the peers (`make bench` builds one); without it only
our side runs. Rates are the best of `--repeat` rounds, in which the systems take turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

PEERS = (
    "langgraph-sqlite",
    "langgraph-sqlite-delta",
    "langgraph-sqlite-func",
    "langgraph-postgres",
    "langgraph-postgres-func",
    "langgraph-memory",
    "pydantic-dbos-sqlite",
    "pydantic-dbos-postgres",
    "openai-agents-sqlite",
)
LENGTHS = ((10, 700), (100, 70), (1_000, 7))
"""Turns and conversations: about as many turns at each length."""
console = Console(width=100)

Row = dict[str, object]


def ours(module: str, *options: str) -> list[Row]:
    return _run([sys.executable, "-m", module, *options, "--json"])


def peer(python: str, name: str, *options: str) -> list[Row]:
    return _run([python, "-m", "bench.peers", "--only", name, *options, "--json"])


def _run(command: Sequence[str]) -> list[Row]:
    """The JSON lines that a command prints; what it says to stderr is shown when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not rows:
        raise SystemExit(f"{' '.join(command)} printed nothing:\n{done.stderr[-2000:]}")
    return rows


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    made = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    for row in rows:
        made.add_row(*(_shown(cell) for cell in row))
    console.print(made)


def _shown(cell: object) -> str:
    return f"{cell:,.3g}" if isinstance(cell, float) and cell < 1000 else f"{cell}"


def turns(asked: argparse.Namespace) -> None:
    """The same conversation through each system, in the fastest arrangement of each."""
    best: dict[str, Row] = {}
    for _ in range(asked.repeat):
        for name, row in _round(asked):
            if "turns_per_s" not in row:
                console.print(f"{name}: {row.get('error') or row.get('not_run')}")
            elif name not in best or _rate(row) > _rate(best[name]):
                best[name] = row
    mine = _rate(best["stepfold"])
    table(
        f"Turns a second, 16 conversations at once (best of {asked.repeat} rounds)",
        ("system", "processes", "turns/s", "stepfold is", "durable"),
        (
            (name, row["processes"], _rate(row), f"{mine / _rate(row):.2f} x", _durable(row))
            for name, row in sorted(best.items(), key=lambda item: -_rate(item[1]))
        ),
    )
    row = best["stepfold"]
    console.print(
        f"stepfold: step p50 {row['step_p50_ms']} ms, p99 {row['step_p99_ms']} ms under this load;"
        f" Python {row['python_cpu_ms_per_turn']} ms of processor a turn"
    )


def _round(asked: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    size = ("--conversations", str(asked.conversations), "--turns", "10", "--at-once", "16")
    for processes in ("1", "2"):
        yield from (
            ("stepfold", row) for row in ours("bench.turns", *size, "--processes", processes)
        )
    for name in PEERS if asked.peers else ():
        rows = peer(asked.peers, name, *size, "--processes", "1,2", "--no-growth")
        yield from ((name, row) for row in rows)


def _rate(row: Row) -> float:
    return float(str(row["turns_per_s"]))


def _durable(row: Row) -> object:
    return row.get("durable", "each step, before the next")


def growth(asked: argparse.Namespace) -> None:
    """What a turn costs as the conversation grows, and what is stored of it."""
    (one,) = ours("bench.turns", "--conversations", "1", "--turns", "1000", "--at-once", "1")
    console.print(f"stepfold, one conversation, ms a turn around turn: {one['ms_by_turn']}")
    table(
        "stepfold: bytes on disk against the JSON of the conversation",
        ("turns", "conversations", "bytes each", "x JSON", "turns/s"),
        (
            (row["turns"], row["conversations"], row["bytes_per_conversation"],
             row["bytes_to_json"], row["turns_per_s"])
            for length, count in LENGTHS
            for row in ours(
                "bench.turns", "--turns", str(length), "--conversations", str(count),
                "--at-once", str(min(count, 16)),
            )
        ),
    )  # fmt: skip
    for name in PEERS if asked.peers else ():
        rows = peer(
            asked.peers, name, "--conversations", "16", "--processes", "1", "--cap", str(asked.cap)
        )
        for row in rows:
            shown = [_grown(at) for at in row.get("growth", [])]  # type: ignore[attr-defined]
            console.print(f"{name}: step {row.get('step_ms')}; turn " + "; ".join(shown))


def _grown(at: Row) -> str:
    took = f"{at['turn']}: {at['ms_per_turn']:.1f} ms"
    if at["stored_bytes"] is None:
        return f"{took}, nothing stored"
    stored, json_bytes = float(str(at["stored_bytes"])), float(str(at["json_bytes"]))
    return f"{took}, {stored / 1e6:.1f} MB ({stored / json_bytes:.1f} x JSON)"


def appends(asked: argparse.Namespace) -> None:
    """What each durability costs."""
    table(
        "Fenced appends a second, by how many conversations wait at once",
        ("durability", "1", "16", "64"),
        (
            (row["durability"], *row["appends_per_s_at_once"].values())  # type: ignore[attr-defined]
            for row in ours("bench.appends")
        ),
    )


def replays(asked: argparse.Namespace) -> None:
    """Every decision derived again."""
    rows = ours("bench.replay")
    table(
        "Replay of archives",
        ("turns", "entries", "decisions", "differences", "model calls", "entries/s"),
        (
            (row["turns"], row["entries"], row["decisions"], row["differences"], row["model_calls"],
             row["entries_per_s"])
            for row in rows
        ),
    )  # fmt: skip


def views(asked: argparse.Namespace) -> None:
    """Folding, rebuilding and asking."""
    _pairs("Views", ours("bench.views", *(("--quick",) if asked.quick else ())))


def rebuild(asked: argparse.Namespace) -> None:
    """The views from JetStream and from a file."""
    size = ("--events", "100000") if asked.quick else ()
    _pairs("Rebuild of the views", ours("bench.rebuild", *size))


def recall(asked: argparse.Namespace) -> None:
    """Do the passages that an answer needs come up?"""
    _pairs("Recall over the bank's questions", ours("bench.recall"))


def providers(asked: argparse.Namespace) -> None:
    """A model call through our layer, the bare SDK and LiteLLM, without the model."""
    options = ("--peers", asked.peers) if asked.peers else ()
    rows = ours("bench.providers", *options, "--rounds", "1" if asked.quick else "5")
    table(
        "A model call without the model, microseconds (processor)",
        ("API", "bare SDK", "stepfold", "x SDK", "LiteLLM", "x SDK"),
        (
            (f"{row['api']}{', streamed' if row['stream'] else ''}",
             f"{row['sdk_us']} ({row['sdk_cpu_us']})",
             f"{row['stepfold_us']} ({row['stepfold_cpu_us']})", row["stepfold_to_sdk"],
             f"{row.get('litellm_us', '')} ({row.get('litellm_cpu_us', 'not run')})",
             row.get("litellm_to_sdk", ""))
            for row in rows
        ),
    )  # fmt: skip


def sandboxes(asked: argparse.Namespace) -> None:
    _pairs("Sandboxes", ours("bench.sandbox", *(("--runs", "10") if asked.quick else ())))


def dashboard(asked: argparse.Namespace) -> None:
    _pairs("Dashboard", ours("bench.dashboard", *(("--quick",) if asked.quick else ())))


def gateway(asked: argparse.Namespace) -> None:
    """Open streams and messages a second for minutes."""
    size = ("--seconds", "20") if asked.quick else ()
    _pairs("Gateway under load", ours("bench.gateway", *size))


def _pairs(title: str, rows: Iterable[Row]) -> None:
    table(title, ("what", "value"), (item for row in rows for item in row.items()))


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "turns": turns,
    "growth": growth,
    "appends": appends,
    "rebuild": rebuild,
    "views": views,
    "replay": replays,
    "recall": recall,
    "providers": providers,
    "sandbox": sandboxes,
    "dashboard": dashboard,
    "gateway": gateway,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", default="")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument(
        "--cap", type=int, default=20, help="seconds a peer's long conversation gets"
    )
    parser.add_argument("--quick", action="store_true", help="smaller, one round")
    asked = parser.parse_args()
    if asked.quick:
        asked.repeat, asked.conversations, asked.cap = 1, 32, 5
    for name in asked.only.split(","):
        if name not in SECTIONS:
            parser.error(f"unknown section {name!r} (known: {', '.join(SECTIONS)})")
        SECTIONS[name](asked)


if __name__ == "__main__":
    main()
