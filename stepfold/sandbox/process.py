"""Real CPython in a sandbox that the kernel keeps: bubblewrap, seccomp, rlimits, a control group.

It starts where all of it can be had, and else refuses and says what is missing. Linux only.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from stepfold.sandbox import cgroup
from stepfold.sandbox.bubblewrap import USER, Programs, command, python
from stepfold.sandbox.child import Child
from stepfold.sandbox.exchange import NotAReply, reply, reply_bytes_max, request
from stepfold.sandbox.sandbox import Code, Limits, Outcome, Ran, changed, check, refused
from stepfold.sandbox.seccomp import ARCHITECTURES, program
from stepfold.sandbox.serving import Ended, serve
from stepfold.sandbox.warm import Warm

PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where the programs of the sandbox are looked for: not where whoever sets PATH says."""

REAPER = 1
"""bubblewrap stays as the first process of the sandbox, which counts as one of its processes."""

_SIGNALLED = 128
_PROBE = """
import ctypes, os
NO_NEW_PRIVILEGES, SECCOMP = 39, 21
ask = ctypes.CDLL(None).prctl
{
    "user": os.getuid(),
    "alone": os.getpid() < 20,
    "no_new_privileges": ask(NO_NEW_PRIVILEGES, 0, 0, 0, 0),
    "seccomp": ask(SECCOMP, 0, 0, 0, 0),
    "sees": sorted(os.listdir("/")),
    "may_write": os.access("/", os.W_OK),
    "environment": "PATH" in os.environ,
}
"""
_ISOLATED = {
    "user": USER,
    "alone": True,
    "no_new_privileges": 1,
    "seccomp": 2,
    "may_write": False,
    "environment": False,
}
_SEEN = frozenset({"dev", "lib", "lib64", "python", "tmp", "usr", "work"})
"""Folders of the sandbox's root; it may have fewer."""


def runner() -> str:
    """The text of the program inside."""
    return (files("stepfold.sandbox") / "runner.py").read_text(encoding="utf-8")


class ProcessSandbox:
    """CPython's standard library, alone. `code.functions` cannot be called from it."""

    name = "process"

    def __init__(self) -> None:
        self._inside = (python(), "-I", "-S", "-B", "-X", "utf8", "-c", runner())
        self._above = cgroup.here()
        self._tried = False
        self._warm = Warm(self._start)

    async def missing(self) -> str:
        """Tried out once with code that looks around; asked again as long as the answer is no."""
        if self._tried:
            return ""
        reason = _unmet() or await self._try()
        if reason:
            await self._warm.close()
        self._tried = not reason
        return reason

    async def run(self, code: Code) -> Ran:
        check(code)
        if code.functions:
            return refused("code in the process sandbox calls no functions: use monty for that")
        if reason := await self.missing():
            return refused(reason)
        return await self._run(code)

    async def close(self) -> None:
        await self._warm.close()

    async def _try(self) -> str:
        ran = await self._run(Code(_PROBE))
        if ran.outcome == "ok" and _isolated(ran.result):
            return ""
        told = " ".join((ran.output or ran.reason or str(ran.result)).split())
        return (
            f"bubblewrap cannot isolate here ({told:.300}): allow user namespaces to this user"
            " (in a container: a seccomp profile that lets unshare and mount through, and"
            " `--security-opt apparmor=unconfined`), or use monty"
        )

    async def _run(self, code: Code) -> Ran:
        limits = code.limits
        rlimits = {"NPROC": limits.processes_max + REAPER}
        with _group(self._above, limits) as group:
            ended = await serve(
                await self._warm.take(limits.files_bytes),
                request(code, rlimits=rlimits),
                limits=limits,
                reply_bytes_max=reply_bytes_max(limits),
                joined=group.add if group else None,
            )
            starved = group is not None and group.out_of_memory()
        self._warm.prepare(limits.files_bytes)
        return judged(code, ended, starved=starved)

    def _start(self, files_bytes: int) -> Child:
        """A sandbox with an interpreter in it that waits for a request: no code, no limits yet."""
        with _filter() as filter:
            words = command(_programs(), self._inside, files_bytes=files_bytes, filter=filter)
            return Child(words, environment={}, descriptors=(filter,))


def _isolated(told: object) -> bool:
    if not isinstance(told, dict):
        return False
    return set(told.pop("sees", ["?"])) <= _SEEN and told == _ISOLATED


def judged(code: Code, ended: Ended, *, starved: bool) -> Ran:
    """What became of the run, seen from outside; its reply counts only if nothing was reached."""
    output = ended.output.decode(errors="replace")
    if ended.reached is not None:
        return Ran(ended.reached, ended.reason, None, output, {}, ended.usage)
    try:
        said = reply(ended.reply, code.limits)
    except NotAReply as error:
        outcome, how = _broken(ended.status, starved=starved)
        reason = f"{how}: {error}" if outcome == "error" else how
        return Ran(outcome, reason, None, output, {}, ended.usage)
    files = changed(code.files, said.files)
    return Ran(said.outcome, said.reason, said.result, output, files, ended.usage)


def _broken(status: int, *, starved: bool) -> tuple[Outcome, str]:
    number = -status if status < 0 else status - _SIGNALLED
    if number <= 0:
        return "error", f"exit code {status}"
    if number == signal.SIGXCPU:
        return "cpu", "out of CPU time"
    if number == signal.SIGKILL and starved:
        return "memory", "the kernel ended it for want of memory"
    try:
        return "crashed", f"ended by {signal.Signals(number).name}"
    except ValueError:
        return "error", f"exit code {status}"


def _programs() -> Programs:
    become = (shutil.which("setpriv", path=PATH) or "") if os.geteuid() == 0 else ""
    return Programs(shutil.which("bwrap", path=PATH) or "", become)


def _unmet() -> str:
    """What can be seen to be missing without a try."""
    if platform.system() != "Linux":
        return f"bubblewrap is for Linux, and this is {platform.system()}: use monty or container"
    if platform.machine() not in ARCHITECTURES:
        return f"no seccomp filter is written for {platform.machine()}: use monty or container"
    programs = _programs()
    if not programs.bubblewrap:
        return f"bwrap was not found in {PATH}: apt-get install bubblewrap"
    if os.geteuid() == 0 and not programs.become:
        return (
            f"setpriv, by which root becomes nobody, is not in {PATH}: apt-get install util-linux"
        )
    return ""


@contextmanager
def _filter() -> Iterator[int]:
    """A descriptor from which bubblewrap reads the seccomp program."""
    descriptor = os.memfd_create("stepfold-seccomp")
    try:
        os.write(descriptor, program(platform.machine()))
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _group(above: Path | None, limits: Limits) -> Iterator[cgroup.Group | None]:
    if above is None:
        yield None
        return
    with cgroup.group(above, limits) as group:
        yield group
