"""A control group is made where it may be, and holds what it is told. A folder stands for the
kernel's own: whether this machine has a group to give is seen by `here`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stepfold.sandbox import cgroup
from stepfold.sandbox.sandbox import Limits

LIMITS = Limits(memory_bytes=64_000_000, files_bytes=1_000_000, processes_max=8)


def delegated(folder: Path, controllers: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    (folder / "cgroup.procs").write_text("")
    return folder


def test_the_nearest_group_that_limits_memory_and_processes_is_taken(tmp_path: Path) -> None:
    delegated(tmp_path, "cpu memory pids")
    near = delegated(tmp_path / "user", "memory pids")
    delegated(tmp_path / "user" / "worker", "")

    assert cgroup.parent(tmp_path, "/user/worker") == near


def test_where_no_group_limits_both_there_is_none(tmp_path: Path) -> None:
    delegated(tmp_path, "hugetlb")
    delegated(tmp_path / "user", "memory")

    assert cgroup.parent(tmp_path, "/user") is None


def test_a_group_holds_the_limits(tmp_path: Path) -> None:
    with cgroup.group(tmp_path, LIMITS):
        (folder,) = tmp_path.iterdir()
        said = {each.name: each.read_text() for each in folder.iterdir()}

    assert said["memory.max"] == "65000000"
    assert said["memory.swap.max"] == "0"
    assert int(said["pids.max"]) == 8 + cgroup.OVERHEAD_TASKS


def test_a_death_for_want_of_memory_is_seen(tmp_path: Path) -> None:
    with cgroup.group(tmp_path, LIMITS) as group:
        (folder,) = tmp_path.iterdir()
        (folder / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
        before = group.out_of_memory()
        (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
        after = group.out_of_memory()

    assert (before, after) == (False, True)


def test_a_process_is_taken_in(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
        cgroup.group(tmp_path, LIMITS) as group,
    ):
        group.add(process.pid)
        (folder,) = tmp_path.iterdir()
        taken = (folder / "cgroup.procs").read_text()
        process.kill()

    assert taken == str(process.pid)


@pytest.mark.skipif(cgroup.here() is None, reason="this machine gives no control group")
def test_the_kernel_takes_the_limits() -> None:
    above = cgroup.here()
    assert above is not None
    with cgroup.group(above, LIMITS) as group:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            group.add(process.pid)
            held = Path(f"/proc/{process.pid}/cgroup").read_text()
            process.kill()
        assert "stepfold-" in held
    assert not [each for each in os.listdir(above) if each.startswith("stepfold-")]
