"""Options that several commands have, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    typer.Option("--agent", metavar="FILE", help="The agent of new conversations, as TOML."),
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
ConversationName = Annotated[
    str,
    typer.Argument(
        metavar="CONVERSATION",
        help="customer/conversation; the conversation alone where only one customer has it.",
    ),
]
