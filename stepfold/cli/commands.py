"""`stepfold`: the table of its commands, and how it starts and ends.

A command's file is imported when the command is called, so that starting costs no more than the
parser. The exit codes are in `exits.py`.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stepfold import __version__
from stepfold.cli import exits
from stepfold.cli.plain import plain

COMMANDS: Mapping[str, str] = {
    "demo": "stepfold.cli.demo:demo",
    "chat": "stepfold.cli.chat:chat",
    "serve": "stepfold.cli.serve:serve",
    "dev": "stepfold.cli.dev:dev",
    "key": "stepfold.cli.key:commands",
    "publish": "stepfold.cli.publish:publish",
    "tail": "stepfold.cli.tail:tail",
    "show": "stepfold.cli.show:show",
    "why": "stepfold.cli.why:why",
    "cancel": "stepfold.cli.cancel:cancel",
    "approval": "stepfold.cli.approval:commands",
    "replay": "stepfold.cli.replay:replay",
    "import": "stepfold.cli.archive:import_",
    "export": "stepfold.cli.archive:export",
    "query": "stepfold.cli.query:query",
    "cost": "stepfold.cli.costs:cost",
    "reprice": "stepfold.cli.reprice:reprice",
    "reconcile": "stepfold.cli.reconcile:reconcile",
    "budget": "stepfold.cli.budget:commands",
    "trace": "stepfold.cli.trace:commands",
    "rebuild": "stepfold.cli.rebuild:rebuild",
    "route": "stepfold.cli.route:commands",
    "agent": "stepfold.cli.agent:commands",
    "policy": "stepfold.cli.policy:commands",
    "mcp": "stepfold.cli.mcp:commands",
    "connect": "stepfold.cli.connect:connect",
    "sandbox": "stepfold.cli.sandbox:commands",
    "connection": "stepfold.cli.oauth:commands",
    "generate": "stepfold.cli.generate:generate",
    "knowledge": "stepfold.cli.knowledge:commands",
    "tool": "stepfold.cli.tool:commands",
    "doctor": "stepfold.cli.doctor:doctor",
    "schema": "stepfold.cli.schema:schema",
}


class _Commands(TyperGroup):
    """Loads a command when it is asked for, and turns the errors that are expected into an end."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            self.commands = {name: self.get_command(ctx, name) for name in COMMANDS}
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            code = exits.code(error)
            if code is None:
                raise
            if code == exits.UNREAD:
                _give_up_output()
            else:
                for line in exits.lines(error):
                    typer.echo(f"stepfold: {plain(line)}", err=True)
            raise typer.Exit(code) from error


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(found)
    return typer.main.get_command(alone)


def _give_up_output() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere, quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=_Commands,
    name="stepfold",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exits.EPILOG,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stepfold {__version__}")
        raise typer.Exit


@app.callback()
def stepfold(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say it.")
    ] = False,
) -> None:
    """Agents whose every step is an event on a log. Begin with `stepfold demo`."""


def main() -> None:
    """The entry point. What is logged goes to stderr; libraries are heard only when they fail."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    logging.basicConfig(format="stepfold: %(message)s", handlers=[handler])
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # it logs a traceback per lost connection
    for name in ("mcp", "client"):  # the MCP library logs what servers say
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what it logs we raise
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="stepfold")
