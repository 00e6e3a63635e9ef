"""A control group of its own for one run, where this machine lets us make one (cgroup v2).

It is a second, harder wall around memory and processes. Where there is none, the run is held by its
rlimits and watched from outside.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stepfold.sandbox.sandbox import Limits
from stepfold.sandbox.watch import children

WANTED = frozenset({"memory", "pids"})
OVERHEAD_TASKS = 4
"""bubblewrap's own processes."""


class Group:
    """A control group that holds one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, pid: int) -> None:
        """Take in `pid` and all below it, parents first: what they start later is in it too."""
        with suppress(ProcessLookupError):
            (self._folder / "cgroup.procs").write_text(str(pid))
        for child in children(pid):
            self.add(child)

    def out_of_memory(self) -> bool:
        """Has the kernel killed a process here for want of memory?"""
        lines: list[str] = []
        with suppress(OSError):
            lines = (self._folder / "memory.events").read_text().splitlines()
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)


def parent(root: Path, own: str) -> Path | None:
    """Where below `root` groups can be made that limit memory and processes: the group of this
    process, given as /proc/self/cgroup tells it, or one above it.
    """
    place = root / own.strip("/")
    for folder in (place, *place.parents):
        if not folder.is_relative_to(root):
            return None
        with suppress(OSError):
            given = set((folder / "cgroup.subtree_control").read_text().split())
            if given >= WANTED and os.access(folder / "cgroup.procs", os.W_OK):
                return folder
    return None


def here() -> Path | None:
    """`parent` for this machine; None where cgroup v2 is not mounted or not delegated."""
    with suppress(OSError, StopIteration):
        own = next(
            line[3:].strip()
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, point, kind, *_ = line.split()
            if kind == "cgroup2" and (found := parent(Path(point), own)):
                return found
    return None


@contextmanager
def group(above: Path, limits: Limits) -> Iterator[Group]:
    """A group below `above` for the time of one run."""
    folder = above / f"stepfold-{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        (folder / "memory.max").write_text(str(limits.memory_bytes + limits.files_bytes))
        with suppress(OSError):
            (folder / "memory.swap.max").write_text("0")
        (folder / "pids.max").write_text(str(limits.processes_max + OVERHEAD_TASKS))
        yield Group(folder)
    finally:
        with suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        with suppress(OSError):
            folder.rmdir()
