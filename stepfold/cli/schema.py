"""`stepfold schema`: the words on the wire, for other programs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import typer

from stepfold.cli.options import Json
from stepfold.cli.screen import say
from stepfold.events.schema import asyncapi, json_schema


def schema(
    what: Annotated[
        Literal["events", "asyncapi"],
        typer.Argument(help="events: JSON Schema of a step; asyncapi: the channels it travels on."),
    ],
    json: Json = False,
) -> None:
    """Print the schema of the steps.

    It is JSON either way: --json leaves out the white space.
    """
    form = json_schema() if what == "events" else asyncapi()
    written = msgspec.json.encode(form)
    say((written if json else msgspec.json.format(written, indent=2)).decode())
