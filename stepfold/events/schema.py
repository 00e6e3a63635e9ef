"""The words on the wire, described for others from the types: JSON Schema, AsyncAPI, and a page.

python -m stepfold.events.schema > docs/events.md
"""

from __future__ import annotations

import sys

from stepfold.events.asyncapi import asyncapi
from stepfold.events.page import events_markdown
from stepfold.events.structs import KINDS, Json, payload, structs, stub

__all__ = ["asyncapi", "events_markdown", "json_schema"]


def json_schema() -> Json:
    """JSON Schema (2020-12) of a step's payload: the envelope, with the union of all kinds.

    It is open: a newer version may add fields, and readers pass over those that they do not know.
    """
    schemas = structs("#/$defs/")
    whole = {"anyOf": [{"$ref": f"#/$defs/{struct.__name__}"} for struct in KINDS.values()]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **payload(schemas.pop("Envelope"), whole, stub({"enum": list(KINDS)})),
        "title": "Step",
        "description": "A step's payload in the stream `steps`; its address is the subject.",
        "$defs": schemas,
    }


if __name__ == "__main__":
    sys.stdout.write(events_markdown())
