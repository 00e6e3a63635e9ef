"""Runs code that a model wrote, in a sandbox. It has no effect, so a run that was lost runs again.

The worker needs no key and no secret: serve it in a process of its own that has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    CodeRequested,
    Event,
    Request,
    ToolFailed,
    ToolRefused,
    ToolReturned,
)
from stepfold.events.values import FileRef
from stepfold.handlers.asking import Files
from stepfold.handlers.worker import since
from stepfold.policy.agent import RUN_CODE, Agent, offered
from stepfold.projections.state import Conversation
from stepfold.sandbox.sandbox import Code, Limits, Ran, Sandbox, SandboxError, is_safe
from stepfold.streams.log import FileMissing, FileRefused

MARGIN_S = 1.0
"""What is left of a call's time for what is not the run."""
MEDIA = "application/octet-stream"
DEFAULT = Limits()


class RunCode:
    by = "sandbox"

    def __init__(
        self,
        sandboxes: Mapping[str, Sandbox],
        files: Files | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self._sandboxes = sandboxes
        self._files = files
        self._limits = limits

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, CodeRequested)
        begin = time.perf_counter()
        sandbox = self._sandboxes[request.sandbox]
        wall_s = min(self._limits.wall_s, max(MARGIN_S, agent.limits.call_s - MARGIN_S))
        try:
            given = await self._read(request.files)
            ran = await sandbox.run(Code(request.code, given, replace(self._limits, wall_s=wall_s)))
        except (SandboxError, FileMissing) as error:
            return ToolFailed(request.call, request.turn, str(error), since(begin))
        if ran.outcome == "refused":
            return ToolFailed(request.call, request.turn, ran.reason, since(begin))
        made, lost = await self._keep(ran.files)
        told = _told(ran, made, lost)
        return ToolReturned(request.call, request.turn, told, since(begin), files=made)

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
        request = entry.event
        assert isinstance(request, CodeRequested)
        if RUN_CODE not in offered(agent) or request.sandbox != agent.sandbox:
            why = f"agent {agent.name!r} runs no code in the sandbox {request.sandbox!r}"
            return ToolRefused(request.call, request.turn, RUN_CODE, why)
        if request.sandbox in self._sandboxes:
            return None
        known = ", ".join(sorted(self._sandboxes)) or "none"
        why = f"sandbox {request.sandbox!r} is not set up in this worker (known: {known})"
        return ToolFailed(request.call, request.turn, why)

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, CodeRequested)
        return ToolFailed(request.call, request.turn, detail)

    async def _read(self, files: Iterable[FileRef]) -> dict[str, bytes]:
        """The conversation's files by the names that the code sees."""
        given: dict[str, bytes] = {}
        if self._files is None:
            return given
        for file in files:
            given[_name(file, given)] = await self._files.get(file.blob)
        return given

    async def _keep(self, files: Mapping[str, bytes]) -> tuple[tuple[FileRef, ...], list[str]]:
        """What the code made, kept; and the names of what cannot be."""
        made, lost = [], []
        for name, data in files.items():
            try:
                blob = await self._files.put(data) if self._files is not None else ""
            except FileRefused:
                blob = ""
            if blob:
                made.append(FileRef(MEDIA, blob, name=name))
            else:
                lost.append(name)
        return tuple(made), lost


def _told(ran: Ran, made: Iterable[FileRef], lost: list[str]) -> dict[str, object]:
    """For the model: what there is to say, and no more."""
    said = {
        "outcome": ran.outcome,
        "reason": ran.reason,
        "output": ran.output,
        "result": ran.result,
        "files": [file.name for file in made],
        "files_lost": lost,
    }
    return {name: value for name, value in said.items() if value not in ("", None, [])}


def _name(file: FileRef, taken: Mapping[str, bytes]) -> str:
    """A name in the code's folder: its own if that is safe, made unique."""
    own = PurePosixPath(file.name.replace("\\", "/")).name if file.name else ""
    name = own if own and is_safe(own) else f"file-{file.blob.removeprefix('sha256:')[:8]}"
    path, number = PurePosixPath(name), 1
    while name in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    return name
