"""What a process and all below it use, as the kernel tells it in /proc: no word of theirs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

_PROC = Path("/proc")
_USER_TIME, _WAITED_SYSTEM_TIME = 11, 15
_THREADS = 17
"""Fields of /proc/PID/stat after the name: utime, stime, cutime, cstime; num_threads."""


class Seen(Struct, frozen=True):
    """`cpu_s` counts the ended ones that their parents have waited for; `memory_bytes` counts a
    page that several share once.
    """

    cpu_s: float = 0.0
    memory_bytes: int = 0
    tasks: int = 0


def below(pid: int) -> Seen:
    """The processes below `pid` at this moment, without itself; nothing where there is no /proc."""
    ticks = memory = tasks = 0
    for each in _descendants(pid):
        try:
            after_name = (_PROC / str(each) / "stat").read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            continue
        ticks += sum(map(int, after_name[_USER_TIME:_WAITED_SYSTEM_TIME]))
        tasks += int(after_name[_THREADS])
        memory += _memory(each)
    return Seen(ticks / os.sysconf("SC_CLK_TCK"), memory, tasks)


def _descendants(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        found = list(children(waiting.pop()))
        yield from found
        waiting += found


def children(pid: int) -> Iterator[int]:
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            yield from map(int, (task / "children").read_text().split())
    except OSError:
        return


def _memory(pid: int) -> int:
    """The share in all its pages; the resident set where that cannot be read."""
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
