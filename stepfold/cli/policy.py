"""`stepfold policy`: what another version of an agent would have done with what is on the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stepfold.app import opened
from stepfold.cli import since as times
from stepfold.cli.options import Data, HooksModule, Json
from stepfold.cli.screen import count, paragraph, say, say_json, table, warn
from stepfold.cli.toolbox import described
from stepfold.cli.where import existing
from stepfold.cli.workers import parts_of
from stepfold.evaluation.backtest import backtest_log
from stepfold.evaluation.backtest_counts import Answered, Change, Report
from stepfold.policy.agent import Agent
from stepfold.policy.toolspec import ToolSpec
from stepfold.settings import Settings, read_agent

commands = typer.Typer(
    help="Try the rules of an agent on what is on the log.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
WAS: Mapping[str, str] = {
    "allowed": "was allowed",
    "approval": "waited for people",
    "refused": "was refused",
    "answer": "was given",
    "refusal": "was refused",
    "hand_off": "was handed on",
}
NOW: Mapping[str, str] = {
    "allowed": "would be allowed",
    "approval": "would need people",
    "refused": "would be refused",
    "answer": "would be given",
    "refusal": "would be refused",
    "hand_off": "would be handed on",
}


@commands.command()
def backtest(
    file: Annotated[Path, typer.Argument(metavar="AGENT", help="An agent, as TOML or YAML.")],
    *,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help=times.HELP)] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Of all agents, not only of those with the name in AGENT."),
    ] = False,
    hooks: HooksModule = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say what AGENT would have refused or allowed of what is on the log. No model is asked.

    Conversations of other agents count only where there is none of this one's name. What tools do
    is as it was when their agents were appointed, or as the data folder and --hooks have them.
    """
    agent = read_agent(file)
    begin = times.moment(since, datetime.now(UTC)) if since else None
    here = existing(data)
    lying, problems = described(here)
    for problem in problems:
        warn(f"left out: {problem}")
    own = {name: tool.spec for name, tool in parts_of(here, None, hooks).tools.items()}
    specs = {**lying, **own}
    report = asyncio.run(_backtest(here, agent, specs, begin, every=every))
    if json:
        say_json(report)
    else:
        _say(agent, report)
        if not every and report.agents and agent.name not in report.agents:
            warn(f"no conversation is of an agent {agent.name!r}: those of all agents were taken")


async def _backtest(
    here: Settings,
    agent: Agent,
    specs: Mapping[str, ToolSpec],
    since: datetime | None,
    *,
    every: bool,
) -> Report:
    async with opened(here) as found:
        return await backtest_log(found.log, found.agents, agent, specs, since=since, every=every)


def _say(agent: Agent, report: Report) -> None:
    of = " and ".join(report.agents) or "no agent"
    say(paragraph(f"{count(report.conversations, 'conversation')} of {of}", rest="  "), bold=True)
    if report.unreadable:
        say(paragraph(f"{report.unreadable} of them unreadable from some step on", first="  "))
    if report.calls:
        columns = ("tool", "calls", "allowed", "needs people", "refused", "changed")
        rows = [
            (
                each.tool,
                *_numbers(each.calls, each.allowed, each.approval),
                *_numbers(each.refused, each.changed),
            )
            for each in report.calls
        ]
        say(table(columns, rows, numbers=range(1, len(columns))))
    else:
        say("no calls")
    for calls in report.calls:
        for change in calls.changes:
            _say_change(f"{calls.tool}: {_counted(change, 'call')}", change)
    for line in _answered(report.answered):
        say(paragraph(line, rest="  "))
    for change in report.answered.changes:
        _say_change(_counted(change, "answer"), change)
    if report.unknown:
        warn(
            f"nobody says what {', '.join(report.unknown)} do: taken as reaching the world outside;"
            " put them into the data folder, or name the module that has them with --hooks"
        )


def _numbers(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def _counted(change: Change, noun: str) -> str:
    was = WAS[change.was]
    if change.number != 1:
        was = f"were {was.removeprefix('was ')}" if was.startswith("was ") else was
    return f"{count(change.number, noun)} that {was} {NOW[change.now]}"


def _say_change(head: str, change: Change) -> None:
    say(paragraph(head, rest="  "))
    for example in change.examples:
        why = f": {example.reason}" if example.reason else ""
        say(paragraph(f"{example.conversation}{why}", first="  ", rest="    "), dim=True)


def _answered(answered: Answered) -> Iterator[str]:
    told = [count(answered.answers, "answer")]
    if answered.refused:
        told.append(f"{answered.refused:,} would be refused")
    if answered.handed_off:
        told.append(f"{answered.handed_off:,} would be handed on")
    if answered.shortened:
        told.append(f"{answered.shortened:,} would be cut")
    yield ", ".join(told)
    if answered.elsewhere:
        turns = count(answered.turns, "turn")
        yield f"{answered.elsewhere:,} of {turns} in channels where it does not answer"
