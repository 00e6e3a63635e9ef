"""The direct path for programs: a brief in, JSON that fits its schema out, all of it in the log.

A generation is a conversation of its own, so that asking for the same one again finds what is there
and waits for what is under way. Errors:

    GenerationError
    ├── GenerationRefused    nothing was asked: no schema, no route, no model that fits, no budget
    ├── NotGenerated         no attempt gave what was asked for; the reason says why
    └── GenerationLate       no end yet: it goes on, and asking again finds it
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, Protocol, TypeVar, overload

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Entry, first
from stepfold.events.event import (
    ConversationStopped,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
)
from stepfold.events.names import conversation_filter
from stepfold.events.values import FileRef
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.choosing import World, choice, facts_of_job
from stepfold.handlers.generate import SCHEMA
from stepfold.handlers.worlds import Worlds
from stepfold.policy.schema import broken
from stepfold.routing import route
from stepfold.streams.log import Log, LogConflict, LogRefused
from stepfold.tasks import Brief, Json

BY = "program"
TIMEOUT_S = 300.0
RACES_MAX = 100
TASK_CHARS = 40
DIGEST_CHARS = 32
ZERO = Decimal(0)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class GenerationError(Exception):
    """There is no output. `conversation` is where its steps are, empty when there are none."""

    def __init__(self, reason: str, detail: str, conversation: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.conversation = conversation


class GenerationRefused(GenerationError):
    """Nothing was asked."""


class NotGenerated(GenerationError):
    """No attempt gave what was asked for."""


class GenerationLate(GenerationError):
    """No end yet."""


class Followed(Log, Protocol):
    """A log that can be followed."""

    def follow(self, where: str, *, after: int | None = None) -> AsyncGenerator[Entry, None]:
        """The steps on subjects `where` beyond `after` as they come, for ever."""
        ...


class Shape(Protocol):
    """A pydantic model's class."""

    @classmethod
    def model_json_schema(cls) -> Json: ...

    @classmethod
    def model_validate(cls, obj: Any) -> Any: ...


S = TypeVar("S", bound=Shape)


class Made(Struct, frozen=True):
    """An output, and where it came from: `call` names the job in the conversation. `cost_usd` is of
    all attempts, None when one has no price; `before`: it was there already, nothing was asked.
    """

    conversation: str
    call: str
    output: Any
    model: str
    attempts: int
    cost_usd: Decimal | None
    elapsed_ms: float
    before: bool = False


class Generations:
    """Asks models by the current routes, or the one that a brief names. Somebody must serve the
    lane `generate`.
    """

    def __init__(self, log: Followed, worlds: Worlds, keeper: Keeper | None = None) -> None:
        self._log = log
        self._worlds = worlds
        self._keeper = keeper

    @overload
    async def generate(
        self,
        task: str,
        input: Any,
        schema: type[S],
        *,
        customer: str,
        files: Sequence[FileRef] = (),
        instructions: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> S: ...
    @overload
    async def generate(
        self,
        task: str,
        input: Any,
        schema: Json,
        *,
        customer: str,
        files: Sequence[FileRef] = (),
        instructions: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> Any: ...
    async def generate(
        self,
        task: str,
        input: Any,
        schema: Json | type[Shape],
        *,
        customer: str,
        files: Sequence[FileRef] = (),
        instructions: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """JSON that fits a JSON Schema, or an instance of a pydantic model; GenerationError. What
        only the class's own validators refuse was generated all the same: pydantic's error is
        raised.
        """
        shape = None if isinstance(schema, dict) else schema
        form = schema if isinstance(schema, dict) else schema.model_json_schema()
        brief = Brief(task, input, form, instructions, tuple(files))
        made = await self.make(brief, customer=customer, timeout_s=timeout_s)
        return shape.model_validate(made.output) if shape else made.output

    async def make(
        self,
        brief: Brief,
        *,
        customer: str,
        conversation: str = "",
        trace: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> Made:
        """The output of a brief; GenerationError. In a conversation with a name it is made once: a
        second time it is found there, and only what was given up is tried again.
        """
        conversation = conversation or f"{_slug(brief.task)}~{secrets.token_hex(DIGEST_CHARS // 2)}"
        brief = _as_recorded(brief)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._make(brief, customer, conversation, trace)
        except TimeoutError:
            if not limit.expired():
                raise
            told = (
                f"no end within {timeout_s:g} s; it is not lost: ask for the same again to find it"
            )
            raise GenerationLate("late", told, conversation) from None

    async def _make(self, brief: Brief, customer: str, conversation: str, trace: str) -> Made:
        entries = await self._log.read(customer, conversation)
        begun = len(entries)
        for _ in range(RACES_MAX):
            job = _job(entries, brief)
            if job is not None and not isinstance(job.end, GenerationAbandoned):
                break
            _refuse_stopped(entries)
            request = await self._request(brief, customer, conversation, entries)
            key = f"{request.call}/{_digest(brief)}"  # others may ask for something else meanwhile
            draft = first(customer, conversation, request, by=BY, key=key)
            after = entries[-1].position if entries else 0
            try:
                entries += await self._log.append([replace(draft, trace=trace)], after=after)
                break
            except LogConflict:
                entries = await self._log.read(customer, conversation)
            except LogRefused as error:
                raise GenerationRefused("too_large", str(error)) from error
        else:
            raise NotGenerated("busy", "too many write to its conversation", conversation)
        found = _job(entries, brief)
        assert found is not None
        before = found.end is not None and len(entries) == begun
        return await self._until_end(entries, brief, found, before=before)

    async def _until_end(
        self, entries: list[Entry], brief: Brief, job: _Job, *, before: bool
    ) -> Made:
        where = conversation_filter(*entries[-1].key)
        async with aclosing(self._log.follow(where, after=entries[-1].position)) as steps:
            while job.end is None:
                _refuse_stopped(entries)
                entries.append(await anext(steps))
                job = _job(entries, brief) or job
        return _made(entries[0].conversation, job, before=before)

    async def _request(
        self, brief: Brief, customer: str, conversation: str, entries: Sequence[Entry]
    ) -> GenerationRequested:
        """Of the first attempt: `decide` makes those that follow."""
        if why := broken(brief.schema):
            raise GenerationRefused(SCHEMA, f"what is given is no JSON Schema: {why}")
        jobs = sum(_opens(entry) for entry in entries)
        request = GenerationRequested(
            call=f"g{jobs + 1}",
            task=brief.task,
            input=brief.input,
            schema=brief.schema,
            model=brief.model,
            instructions=brief.instructions,
            files=brief.files,
        )
        world = await self._world(customer, conversation)
        if world.budget == "refuse":
            raise GenerationRefused("budget", f"{world.budget_left_usd} USD of the budget are left")
        return request if brief.model else _routed(request, world)

    async def _world(self, customer: str, conversation: str) -> World:
        if self._keeper is not None:
            await self._keeper.look()
        await self._worlds.look()
        return self._worlds(customer, conversation, "")


def conversation_of(brief: Brief, batch: str = "") -> str:
    """The conversation in which a brief is made once, another batch makes it again;
    GenerationRefused.
    """
    name = _digest(brief, batch)
    return "~".join(word for word in (_slug(brief.task), _slug(batch), name) if word)


def _digest(brief: Brief, batch: str = "") -> str:
    told = msgspec.json.encode(msgspec.json.decode(_json(brief)), order="sorted")
    return hashlib.sha256(told + batch.encode()).hexdigest()[:DIGEST_CHARS]


def _as_recorded(brief: Brief) -> Brief:
    """With an input and a schema as they will be read again: a tuple comes back as a list."""
    return msgspec.json.decode(_json(brief), type=Brief)


def _json(brief: Brief) -> bytes:
    try:
        return msgspec.json.encode(brief)
    except (TypeError, ValueError) as error:
        raise GenerationRefused("input", f"it cannot be told in JSON: {error}") from error


def _routed(request: GenerationRequested, world: World) -> GenerationRequested:
    routing = route(world.routes, facts_of_job(request, world))
    if not routing.picks:
        told = "; ".join((routing.route, *routing.passed))
        way = f"`stepfold route try --task {request.task}` tries the routes; or name a model"
        raise GenerationRefused("model", f"{told}: no model fits ({way})")
    pick = routing.picks[0]
    why = choice(routing, pick, world, "the first that fits")
    return replace(request, model=pick.model, choice=why, options=pick.options)


def _slug(word: str) -> str:
    return _UNSAFE.sub("-", word)[:TASK_CHARS].strip("-")


# -- what is there ------------------------------------------------------------------------------


class _Job(Struct, frozen=True):
    """The steps of one generation; `end` is None while it goes on."""

    call: str
    outcomes: tuple[Generated | GenerationFailed, ...] = ()
    end: Generated | GenerationAbandoned | None = None


def _opens(entry: Entry) -> bool:
    return isinstance(entry.event, GenerationRequested) and not entry.event.job


def _job(entries: Sequence[Entry], brief: Brief) -> _Job | None:
    """The latest generation of this brief in a conversation."""
    job: _Job | None = None
    calls: set[str] = set()
    for entry in entries:
        event = entry.event
        match event:
            case GenerationRequested() if not event.job and _same(event, brief):
                job, calls = _Job(event.call), {event.call}
            case GenerationRequested() if job is not None and event.job == job.call:
                calls.add(event.call)
            case Generated() | GenerationFailed() if job is not None and event.call in calls:
                end = event if isinstance(event, Generated) else None
                job = replace(job, outcomes=(*job.outcomes, event), end=end)
            case GenerationAbandoned() if job is not None and event.call == job.call:
                job = replace(job, end=event)
            case _:
                continue
    return job


def _same(request: GenerationRequested, brief: Brief) -> bool:
    """Was this asked for? A model counts only where the brief names one."""
    if brief.model and request.model != brief.model:
        return False
    asked = (request.task, request.input, request.schema, request.instructions, request.files)
    return asked == (brief.task, brief.input, brief.schema, brief.instructions, brief.files)


def _refuse_stopped(entries: Sequence[Entry]) -> None:
    stopped = [entry.event for entry in entries if isinstance(entry.event, ConversationStopped)]
    if stopped:
        raise NotGenerated("stopped", stopped[0].reason, entries[0].conversation)


def _made(conversation: str, job: _Job, *, before: bool) -> Made:
    end = job.end
    if isinstance(end, GenerationAbandoned):
        raise NotGenerated(end.reason, end.detail, conversation)
    assert end is not None
    costs = [outcome.cost_usd for outcome in job.outcomes]
    known = [cost for cost in costs if cost is not None]
    return Made(
        conversation=conversation,
        call=job.call,
        output=end.output,
        model=end.model,
        attempts=len(job.outcomes),
        cost_usd=sum(known, ZERO) if len(known) == len(costs) else None,
        elapsed_ms=round(sum(outcome.elapsed_ms for outcome in job.outcomes), 3),
        before=before,
    )
