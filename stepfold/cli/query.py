"""`stepfold query`: SQL over the views, read-only, as of any moment."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from stepfold.app import opened
from stepfold.cli.options import Data, Json
from stepfold.cli.plain import plain
from stepfold.cli.screen import count, cut_edge, lapse, say, warn
from stepfold.cli.viewing import (
    ROWS_MAX,
    TIMEOUT_S,
    Question,
    Told,
    answer,
    ask_views,
    open_views,
)
from stepfold.cli.where import existing

Form = Literal["table", "json", "csv", "sheet", "parquet"]


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement that reads.")],
    *,
    format: Annotated[
        Form,
        typer.Option(
            metavar="table|json|csv|sheet|parquet",
            help="How it is written; sheet is CSV in which no text is a formula.",
        ),
    ] = "table",
    as_of: Annotated[
        int | None, typer.Option(min=0, metavar="POSITION", help="As the log was then.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As the log was then: 2026-01-31T12:00+00:00."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = ROWS_MAX,
    timeout: Annotated[
        float, typer.Option(min=0.001, metavar="S", help="At most so many seconds.")
    ] = TIMEOUT_S,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to (default: stdout).")
    ] = None,
    views: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of these views, which `rebuild FILE` made."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Ask the views in SQL.

    They are conversations, turns, messages, model_calls, tool_calls, approvals,
    retrievals, citations, spend, cost_by_model, cost_by_customer, cost_by_conversation,
    cost_by_task, cost_by_route, cost_by_agent, cost_by_day, steps.
    """
    form: Form = "json" if json else format
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise typer.BadParameter("parquet is not for a terminal", param_hint="--output is missing")
    moment = _moment(at) if at is not None else None
    question = Question(sql, form, as_of, moment, rows, timeout)
    told = asyncio.run(_ask(data, views, question))
    _write(told, form, output)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        why = f"{text!r} is not a time, such as 2026-01-31T12:00 (UTC unless it says otherwise)"
        raise typer.BadParameter(why, param_hint="--at") from error
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


async def _ask(data: Path | None, views: Path | None, question: Question) -> Told:
    if views is None:
        here = existing(data)
        async with opened(here) as found:
            return await ask_views(found, here, question)
    file = await open_views(views, read_only=True)
    try:
        return await asyncio.to_thread(answer, file, question)
    finally:
        file.close()


def _write(told: Told, form: Form, output: Path | None) -> None:
    """The rows where they are wanted; what there is to say about them to stderr."""
    about = told.about
    if output is not None:
        output.write_bytes(told.body)
    elif form == "table":
        for line in told.body.decode().splitlines():
            say(cut_edge(plain(line)))
    else:
        sys.stdout.buffer.write(told.body if told.body.endswith(b"\n") else told.body + b"\n")
        sys.stdout.flush()
    if about.truncated:
        warn(f"there are more than {count(about.rows, 'row')}: ask for less, or give --rows")
    if form == "table" and sys.stdout.isatty():
        told_ = f"{count(about.rows, 'row')}, {lapse(about.elapsed_ms)}, as of position"
        say(f"{told_} {about.position}", dim=True)
