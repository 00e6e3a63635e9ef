"""`stepfold replay`: every decision once more, from the log alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict

from stepfold.app import opened
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.find import find
from stepfold.cli.options import Data, HooksModule, Json
from stepfold.cli.plain import plain
from stepfold.cli.screen import count, paragraph, say, say_json
from stepfold.cli.where import existing
from stepfold.cli.workers import Hooks, load_hooks
from stepfold.evaluation.replay import Report, replay_archive, replay_log
from stepfold.settings import Settings
from stepfold.streams.archive import load

WHOLE = "the log"


def replay(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONVERSATION|FILE",
            help="What `stepfold export` wrote, or conversations of the log (default: all of it).",
        ),
    ] = None,
    *,
    hooks: HooksModule = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Derive every decision again from the steps before it.

    No model and no tool is asked. Exit code 1 when one differs. Conversations that had vetoes need
    the same --hooks.
    """
    brought = load_hooks(hooks) if hooks else Hooks()
    reports = [(name, _replay(name, data, brought)) for name in names or [WHOLE]]
    for name, report in reports:
        _say(name, report, json=json)
    if len(reports) > 1 and not json:
        _say_sum([report for _, report in reports])
    if any(report.differences for _, report in reports):
        raise typer.Exit(REFUSED)


def _replay(name: str, data: Path | None, hooks: Hooks) -> Report:
    if Path(name).is_file():
        return replay_archive(load(Path(name)), vetoes=hooks.vetoes)
    if name.endswith(".jsonl"):
        raise CommandRefused(f"{name}: there is no such file")
    return asyncio.run(_replay_log(name, existing(data), hooks))


async def _replay_log(name: str, here: Settings, hooks: Hooks) -> Report:
    async with opened(here) as found:
        key = None if name == WHOLE else await find(found, name)
        return await replay_log(found.log, found.agents, found.routes, key=key, vetoes=hooks.vetoes)


def _say(name: str, report: Report, *, json: bool) -> None:
    if json:
        say_json({"source": name, **asdict(report)})
        return
    say(paragraph(f"{name}: {_told(report)}", rest="  "))
    if report.differences:
        say(paragraph("differ: " + ", ".join(report.differing), first="  ", rest="  "))
        say(plain(report.first))


def _say_sum(reports: list[Report]) -> None:
    sums = Report(
        **{
            field: sum(getattr(report, field) for report in reports)
            for field in Report.__struct_fields__
            if isinstance(getattr(reports[0], field), int)
        }
    )
    say(paragraph(f"together: {_told(sums)}", rest="  "), bold=True)


def _told(report: Report) -> str:
    told = [
        count(report.conversations, "conversation"),
        count(report.entries, "entry", "entries"),
        count(report.decisions, "decision"),
        count(report.differences, "difference"),
        count(report.model_calls, "model call"),
    ]
    if report.pending:
        told.append(f"{report.pending} pending")
    if report.unreadable:
        told.append(f"{report.unreadable} unreadable")
    return ", ".join(told)
