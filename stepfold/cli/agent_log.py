"""The versions of agents that a log keeps, and the one that a person means by a name, a digest or a
file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import Opened
from stepfold.cli.exits import CommandRefused
from stepfold.policy.agent import Agent, decode_agent, digest
from stepfold.settings import read_agent
from stepfold.settings.agent_text import YAML
from stepfold.streams.config import AGENTS, STEPS
from stepfold.streams.jetstream.connection import TIMEOUT_S
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.log import content_digest

FILES = (".toml", *YAML)
DIGEST = re.compile(r"(sha256:)?[0-9a-f]{4,64}")
SHORT = 12
"""Digits of a digest that are shown where it need not be whole."""
CURRENT = f"{AGENTS}.current"
APPOINTED = f"{AGENTS}.appointed."
STARTED = f"{STEPS}.*.*.conversation.started"


class Version(Struct, frozen=True):
    """`kept` is when it came into the log, `appointed` when it became the one of new conversations,
    if it is that now; `times` are all moments when it did. `agent` is None when this stepfold
    cannot read it. A file has no times.
    """

    digest: str
    agent: Agent | None
    kept: datetime | None = None
    appointed: datetime | None = None
    times: tuple[datetime, ...] = ()
    conversations: int = 0
    file: str = ""

    @property
    def short(self) -> str:
        return self.digest.removeprefix("sha256:")[:SHORT]


async def versions(found: Opened) -> list[Version]:
    """Every version that is kept, the latest last."""
    gets = Gets(found.client, TIMEOUT_S)
    kept: dict[str, Version] = {}
    times: dict[str, tuple[datetime, ...]] = {}
    current: tuple[bytes, datetime] | None = None
    async for message in gets.all(AGENTS, f"{AGENTS}.>", 0):
        headers = message.headers or {}
        at = datetime.fromisoformat(headers["Nats-Time-Stamp"])
        if headers["Nats-Subject"] == CURRENT:
            current = message.data, at
        elif headers["Nats-Subject"].startswith(APPOINTED):
            name = message.data.decode()
            times[name] = (*times.get(name, ()), at)
        else:
            name = headers["Nats-Subject"].removeprefix(f"{AGENTS}.").replace("-", ":", 1)
            kept[name] = Version(name, _agent(message.data), at)
    if current is not None and (name := content_digest(current[0])) in kept:
        kept[name] = replace(kept[name], appointed=current[1])
    return [replace(each, times=times.get(each.digest, ())) for each in kept.values()]


async def conversations(found: Opened) -> Mapping[str, int]:
    """How many conversations are pinned to a version, by its digest."""
    numbers: Counter[str] = Counter()
    async for message in Gets(found.client, TIMEOUT_S).all(STEPS, STARTED, 0):
        try:
            step = msgspec.json.decode(message.data, type=_Step)
        except msgspec.DecodeError:
            continue
        numbers[step.event.digest] += 1
    return numbers


class _Pin(Struct):
    digest: str = ""


class _Step(Struct):
    event: _Pin


def _agent(raw: bytes) -> Agent | None:
    try:
        return decode_agent(raw)
    except msgspec.DecodeError:
        return None


# -- naming one ---------------------------------------------------------------------------------


def from_file(name: str) -> Version | None:
    """The version in a file; None when it is not the name of one."""
    path = Path(name)
    if not path.is_file() and path.suffix.lower() not in FILES:
        return None
    agent = read_agent(path)
    return Version(digest(agent), agent, file=name)


def choose(name: str, kept: Sequence[Version]) -> Version:
    """The version with this digest or the beginning of it, else the one that an agent of this name
    has now: the appointed one, else the one that was kept last.
    """
    if DIGEST.fullmatch(name):
        begins = f"sha256:{name.removeprefix('sha256:')}"
        hits = [each for each in kept if each.digest.startswith(begins)]
        if len(hits) > 1:
            told = ", ".join(each.short for each in hits)
            raise CommandRefused(f"agent {name!r} could be any of {told}: write more digits")
        if hits:
            return hits[0]
    named = [each for each in kept if each.agent is not None and each.agent.name == name]
    if not named:
        names = sorted({each.agent.name for each in kept if each.agent is not None})
        raise CommandRefused(
            f"agent {name!r} is not on this log (there: {', '.join(names) or 'none'}), and no file;"
            " `stepfold agent list` shows its versions"
        )
    return next((each for each in named if each.appointed), named[-1])
