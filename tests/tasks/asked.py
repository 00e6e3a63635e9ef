"""A ready task as its model gets it: the brief in a log, asked by the real worker."""

from __future__ import annotations

from typing import Any

import msgspec

from stepfold.events.event import Event, GenerationRequested
from stepfold.policy.schema import broken, mismatch
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.schemas import strict
from stepfold.tasks import Brief
from stepfold.testing import Arrangement

PICTURE = b"a picture"
"""A file that the arrangement has."""


async def ask(brief: Brief, *outputs: Any) -> tuple[tuple[Event, ...], list[Prompt]]:
    """The steps of a brief whose model gives `outputs`, and what it was shown each time."""
    replies = [Reply(msgspec.json.encode(output).decode()) for output in outputs]
    arrangement = Arrangement(replies=replies)
    await arrangement.files.put(PICTURE)
    request = GenerationRequested(
        call="g1",
        task=brief.task,
        input=brief.input,
        schema=brief.schema,
        model="scripted",
        instructions=brief.instructions,
        files=brief.files,
    )
    await arrangement.append("c1", request)
    await arrangement.run_to_rest()
    return (await arrangement.rest()).events, arrangement.model.prompts


def fits(brief: Brief, output: Any) -> bool:
    return mismatch(output, brief.schema) is None


def is_strict(brief: Brief) -> bool:
    """A schema that every provider can hold its model to."""
    return broken(brief.schema) is None and strict(brief.schema) is not None
