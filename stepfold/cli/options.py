"""Options that several commands have, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepfold.events.traces import caller


def _checked(traceparent: str) -> str:
    if traceparent and not caller(traceparent):
        raise typer.BadParameter(
            f"{traceparent!r}, given or in TRACEPARENT, is no W3C traceparent, such as"
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 (small letters)"
        )
    return traceparent.strip()


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of log, views and knowledge (STEPFOLD_DATA_DIR, else .stepfold).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
AgentFile = Annotated[
    Path | None,
    typer.Option(
        "--agent", metavar="FILE", help="The agent of new conversations, as TOML or YAML."
    ),
]
Script = Annotated[
    Path | None,
    typer.Option(
        "--script", metavar="FILE", help="Replies of the model `scripted`, one JSON object a line."
    ),
]
HooksModule = Annotated[
    str | None,
    typer.Option(
        "--hooks",
        metavar="MODULE",
        help="A Python module with any of TOOLS, MODELS, VETOES, OBSERVERS.",
    ),
]
ToolFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--tools",
        metavar="PATH",
        help="A .py or .toml file, or a folder of them, beside DIR/tools; may be repeated.",
    ),
]
Traceparent = Annotated[
    str,
    typer.Option(
        "--traceparent",
        metavar="W3C",
        envvar="TRACEPARENT",
        show_envvar=False,
        callback=_checked,
        help="The caller's trace and span, for what follows (TRACEPARENT).",
    ),
]
ConversationName = Annotated[
    str,
    typer.Argument(
        metavar="CONVERSATION",
        help="customer/conversation; the conversation alone where only one customer has it.",
    ),
]
