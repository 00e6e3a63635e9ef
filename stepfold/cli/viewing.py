"""The views, in whatever process: owned and kept up to date, or asked.

One process can have the DuckDB file open. Who owns it follows the log and answers on QUERIES; who
asks when nobody owns it opens the file, catches up with the log, answers itself and lets go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from stepfold.app import Opened
from stepfold.settings import Settings
from stepfold.streams import ask
from stepfold.streams.log import LogUnavailable

if TYPE_CHECKING:
    from stepfold.projections.views import Views

QUERIES = "views.query"
TIMEOUT_S, ROWS_MAX = 10.0, 10_000
FRESH_S = 0.1
"""How long an answer waits for the step that was the last one when it was asked for."""
LOOK_S = 0.005
AWAY_S = 5.0
"""How much longer than the query itself an answer may take; how long a busy file is waited for."""
AGAIN_S = 1.0
SMALL = 2_000
"""A batch of fewer steps costs what a fold costs at least, some 20 ms, however few they are."""
RESTS, REST_S_MAX = 3, 0.25
"""After a small batch the fold rests so many times what it took, unless somebody asks meanwhile."""

log = logging.getLogger("stepfold.views")


class Question(Struct, frozen=True):
    """`form` is one of table, json, csv, sheet, parquet; `last` is the log's last step when it was
    asked.
    """

    sql: str
    form: str = "table"
    as_of: int | None = None
    at: datetime | None = None
    rows_max: int = ROWS_MAX
    timeout_s: float = TIMEOUT_S
    last: int = 0


class About(Struct, frozen=True):
    """`position` is where the views were; `truncated`: there were more rows than `rows`."""

    position: int
    rows: int
    elapsed_ms: float
    truncated: bool = False


class Told(Struct, frozen=True):
    about: About
    body: bytes


# -- owning -------------------------------------------------------------------------------------


async def own_views(found: Opened, here: Settings, ready: asyncio.Event) -> None:
    """Follow the log and answer questions, until cancelled or broken; `ready` is set in between."""
    views, asked = await open_views(here.views), asyncio.Event()
    try:
        views.check_tail(await found.log.last())
        async with ask.serve(found.client, QUERIES, _Answers(views, asked).answer):
            ready.set()
            await _follow(found, views, asked)
    finally:
        await asyncio.to_thread(views.close)


async def open_views(path: Path, *, read_only: bool = False) -> Views:
    """DuckDB takes half a second to import: not in the loop."""

    def load() -> Views:
        from stepfold.projections.views import Views

        return Views.open(path, read_only=read_only)

    return await asyncio.to_thread(load)


async def _follow(found: Opened, views: Views, asked: asyncio.Event) -> None:
    """Fold the log as it grows: what arrives until the next fold is its batch."""
    while True:
        try:
            async for batch in found.log.scan(after=views.position, follow=True):
                asked.clear()
                begin = time.monotonic()
                await asyncio.to_thread(views.fold, batch)
                if len(batch) < SMALL:
                    await _rest(asked, min(REST_S_MAX, RESTS * (time.monotonic() - begin)))
        except LogUnavailable as error:
            log.warning("the views wait: %s", error)
            await asyncio.sleep(AGAIN_S)


async def _rest(asked: asyncio.Event, most_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await asked.wait()


async def catch_up(found: Opened, views: Views, *, to: int | None = None) -> None:
    """Fold what the log holds by now, or up to position `to`."""
    last = await found.log.last() if to is None else to
    views.check_tail(last)
    async for batch in found.log.scan(after=views.position):
        late = batch[-1].position > last
        known = [stored for stored in batch if stored.position <= last] if late else batch
        await asyncio.to_thread(views.fold, known)


class _Answers:
    """Answers questions about views that somebody folds meanwhile."""

    def __init__(self, views: Views, asked: asyncio.Event) -> None:
        self._views = views
        self._asked = asked

    async def answer(self, question: bytes) -> bytes:
        from stepfold.projections.views import ViewsError

        try:
            asked = msgspec.json.decode(question, type=Question)
        except msgspec.DecodeError as error:
            raise ask.AskRefused(f"not a question: {error}") from error
        await self._fresh(asked.last)
        try:
            told = await asyncio.to_thread(answer, self._views, asked)
        except ViewsError as error:
            raise ask.AskRefused(str(error)) from error
        return msgspec.json.encode(told.about) + b"\n" + told.body

    async def _fresh(self, last: int) -> None:
        end = time.monotonic() + FRESH_S
        while self._views.position < last and time.monotonic() < end:
            self._asked.set()
            await asyncio.sleep(LOOK_S)


# -- asking -------------------------------------------------------------------------------------


def answer(views: Views, question: Question) -> Told:
    from stepfold.projections.views import FORMATS, QueryRefused, render

    if question.form not in FORMATS:
        raise QueryRefused(f"format {question.form!r} is unknown (known: {', '.join(FORMATS)})")
    found = views.query(
        question.sql,
        as_of=question.as_of,
        at=question.at,
        timeout_s=question.timeout_s,
        rows_max=question.rows_max,
    )
    rows = int(found.table.num_rows)
    about = About(found.position, rows, round(found.elapsed_ms, 3), found.truncated)
    return Told(about, render(found, question.form))


async def ask_views(found: Opened, here: Settings, question: Question) -> Told:
    """The answer of the process that owns the views; without one, of this process."""
    question = msgspec.structs.replace(question, last=await found.log.last())
    end = time.monotonic() + AWAY_S
    while True:
        try:
            return await ask_owner(found, question)
        except ask.NobodyAnswers:
            told = await _answer_here(found, here, question, patient=time.monotonic() < end)
        if told is not None:
            return told
        await asyncio.sleep(FRESH_S)


async def ask_owner(found: Opened, question: Question) -> Told:
    """The answer of the process that owns the views. NobodyAnswers, AskRefused."""
    raw = await ask.ask(
        found.client,
        QUERIES,
        msgspec.json.encode(question),
        timeout_s=question.timeout_s + AWAY_S,
    )
    about, _, body = raw.partition(b"\n")
    return Told(msgspec.json.decode(about, type=About), body)


async def _answer_here(
    found: Opened, here: Settings, question: Question, *, patient: bool
) -> Told | None:
    """None when somebody else has just opened the file and there is patience left."""
    from stepfold.projections.views import ViewsBusy

    try:
        views = await open_views(here.views)
    except ViewsBusy:
        if patient:
            return None
        raise
    try:
        await catch_up(found, views)
        return await asyncio.to_thread(answer, views, question)
    finally:
        await asyncio.to_thread(views.close)
