"""CPython in a container of Docker or Podman: no network, nothing writable but a small folder.

The engine's command line is called; nothing of the machine is mounted. With gVisor's runtime, where
the engine has it, the code does not meet the machine's kernel at all.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import secrets
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from stepfold.sandbox.child import Child
from stepfold.sandbox.exchange import reply_bytes_max, request
from stepfold.sandbox.process import judged, runner
from stepfold.sandbox.sandbox import Code, Limits, Ran, check, refused
from stepfold.sandbox.serving import serve

IMAGE = "python:3.13-slim"
"""Any image with `python3` on its PATH. In production name one by its digest."""

ENGINES = ("podman", "docker")
GVISOR = "runsc"
USER = 65_534
ASK_S = 10.0
START_S = 10.0
"""Beyond the code's wall time: a container starts in its own time, which the code does not have."""

_KILLED = 137


class Engine(Struct, frozen=True):
    """`gvisor`: the engine has the runtime `runsc`."""

    program: str
    gvisor: bool = False


class _Answer(Struct, frozen=True):
    status: int
    text: str


class ContainerSandbox:
    """`engine` is the path of docker or podman; empty: what is found on PATH. The image has to be
    there already: nothing is pulled on behalf of a stranger's code.
    """

    name = "container"

    def __init__(self, *, engine: str = "", image: str = IMAGE) -> None:
        self._given = engine
        self._image = image
        self._engine: Engine | None = None

    async def missing(self) -> str:
        """Asks the engine whether it runs and has the image; again as long as the answer is no."""
        if self._engine is not None:
            return ""
        program = self._given or next(filter(None, map(shutil.which, ENGINES)), "")
        if not program:
            return f"no container engine was found on PATH ({' or '.join(ENGINES)}): install one"
        told = await _ask(program, "info", "--format", "{{json .}}")
        if told.status:
            return f"{program} has no engine to talk to ({told.text:.200}): start it"
        image = await _ask(program, "image", "inspect", self._image)
        if image.status:
            return f"{program} has no image {self._image}: `{program} pull {self._image}`"
        self._engine = Engine(program, _has_gvisor(told.text))
        return ""

    async def run(self, code: Code) -> Ran:
        check(code)
        if code.functions:
            return refused("code in a container calls no functions: use monty for that")
        if reason := await self.missing():
            return refused(reason)
        assert self._engine is not None
        limits, name = code.limits, f"stepfold-{secrets.token_hex(8)}"
        try:
            ended = await serve(
                Child(
                    command(self._engine, self._image, limits, name=name),
                    environment=_environment(os.environ),
                ),
                request(code, rlimits={}),
                limits=with_start(limits),
                reply_bytes_max=reply_bytes_max(limits),
            )
        finally:
            await asyncio.shield(_ask(self._engine.program, "rm", "--force", name))
        return judged(code, ended, starved=ended.status == _KILLED)

    async def close(self) -> None:
        return None


def command(engine: Engine, image: str, limits: Limits, *, name: str) -> tuple[str, ...]:
    """What starts one container: request on stdin, reply on stdout, what is printed on stderr."""
    return (engine.program, "run", *_options(engine, limits, name), image, *inside())


def inside() -> Sequence[str]:
    """What runs in the container."""
    return ("python3", "-I", "-S", "-B", "-X", "utf8", "-c", runner())


def with_start(limits: Limits) -> Limits:
    """The engine's client is watched, not the code: it has the time to start a container in."""
    return replace(limits, wall_s=limits.wall_s + START_S)


def _options(engine: Engine, limits: Limits, name: str) -> Iterator[str]:
    memory, folder = str(limits.memory_bytes), f"rw,nosuid,nodev,noexec,size={limits.files_bytes}"
    cpu_s = math.ceil(limits.cpu_s) + 1
    yield from ("--rm", "--interactive", "--pull", "never", "--name", name)
    yield from ("--network", "none", "--ipc", "none", "--hostname", "sandbox")
    yield from ("--read-only", "--tmpfs", f"/work:{folder},mode=1777", "--workdir", "/work")
    yield from ("--user", f"{USER}:{USER}", "--cap-drop", "ALL")
    yield from ("--security-opt", "no-new-privileges", "--init")
    yield from ("--memory", memory, "--memory-swap", memory, "--cpus", "1")
    yield from ("--pids-limit", str(limits.processes_max + 1))
    yield from ("--ulimit", f"cpu={cpu_s}:{cpu_s}", "--ulimit", "core=0:0")
    yield from ("--ulimit", f"fsize={limits.files_bytes}:{limits.files_bytes}")
    yield from ("--log-driver", "none", "--env", "HOME=/work", "--env", "MALLOC_ARENA_MAX=1")
    if engine.gvisor:
        yield from ("--runtime", GVISOR)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """What the engine's client needs to find its engine; never the worker's secrets."""
    wanted = {"PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "XDG_RUNTIME_DIR"}
    return {name: value for name, value in own.items() if name in wanted}


def _has_gvisor(told: str) -> bool:
    try:
        info = json.loads(told)
    except ValueError:
        return False
    return isinstance(info, dict) and GVISOR in json.dumps(info.get("Runtimes", {}))


async def _ask(program: str, *arguments: str) -> _Answer:
    """What the engine says to a short question; a status of -1 when it says nothing in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            env=_environment(os.environ),
        )  # fmt: skip
    except OSError as error:
        return _Answer(-1, str(error))
    try:
        async with asyncio.timeout(ASK_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _Answer(-1, f"no answer within {ASK_S:g} s")
    status = process.returncode or 0
    return _Answer(status, " ".join((err if status else out).decode(errors="replace").split()))
