"""What an engine is asked for, and when nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.sandbox.container import ContainerSandbox, Engine, command
from stepfold.sandbox.sandbox import Code, Limits
from tests.sandbox.engines import asked, engine

IMAGE = "python:look-alike"
LIMITS = Limits(cpu_s=2.5, memory_bytes=64_000_000, files_bytes=1_000_000, processes_max=8)


def words(*, gvisor: bool = False) -> list[str]:
    return list(command(Engine("docker", gvisor), IMAGE, LIMITS, name="run-1"))


def value(option: str) -> str:
    every = words()
    return every[every.index(option) + 1]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--network", "none"),
        ("--ipc", "none"),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--user", "65534:65534"),
        ("--memory", "64000000"),
        ("--memory-swap", "64000000"),
        ("--pids-limit", "9"),
        ("--tmpfs", "/work:rw,nosuid,nodev,noexec,size=1000000,mode=1777"),
        ("--pull", "never"),
        ("--log-driver", "none"),
        ("--name", "run-1"),
        ("--ulimit", "cpu=4:4"),
    ],
)
def test_a_container_is_given_nothing_that_it_does_not_need(option: str, expected: str) -> None:
    assert value(option) == expected


def test_a_container_is_read_only_and_gone_afterwards() -> None:
    assert {"--read-only", "--rm", "--interactive", "--init"} <= set(words())
    assert not {"--privileged", "--volume", "-v", "--mount", "--device", "--publish", "-t"} & set(
        words()
    )


def test_gvisor_is_used_where_the_engine_has_it() -> None:
    assert "runsc" not in words()
    assert "runsc" in words(gvisor=True)


async def test_gvisor_is_seen_in_what_the_engine_says_of_itself(tmp_path: Path) -> None:
    where = ContainerSandbox(engine=str(engine(tmp_path, image=IMAGE, gvisor=True)), image=IMAGE)

    ran = await where.run(Code("1"))

    assert ran.result == 1
    assert any("--runtime runsc" in line for line in asked(tmp_path))


async def test_each_container_is_removed_by_its_name(tmp_path: Path) -> None:
    where = ContainerSandbox(engine=str(engine(tmp_path, image=IMAGE)), image=IMAGE)

    await where.run(Code("1"))

    (started,) = (line for line in asked(tmp_path) if line.startswith("run "))
    name = started.split("--name ")[1].split()[0]
    assert f"rm --force {name}" in asked(tmp_path)


async def test_without_its_image_nothing_runs(tmp_path: Path) -> None:
    program = engine(tmp_path, image=IMAGE)

    ran = await ContainerSandbox(engine=str(program), image="python:other").run(Code("1"))

    assert ran.outcome == "refused"
    assert ran.reason == f"{program} has no image python:other: `{program} pull python:other`"


async def test_without_an_engine_nothing_runs(tmp_path: Path) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    client.chmod(0o755)

    ran = await ContainerSandbox(engine=str(client)).run(Code("1"))

    assert ran.outcome == "refused"
    assert "Cannot connect to the Docker daemon" in ran.reason


async def test_without_a_client_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    ran = await ContainerSandbox().run(Code("1"))

    assert ran.outcome == "refused"
    assert "podman or docker" in ran.reason


async def test_the_client_is_given_none_of_the_workers_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPFOLD_SECRET", "swordfish")
    where = ContainerSandbox(engine=str(engine(tmp_path, image=IMAGE)), image=IMAGE)

    ran = await where.run(Code("import os\n'STEPFOLD_SECRET' in os.environ"))

    assert ran.result is False
