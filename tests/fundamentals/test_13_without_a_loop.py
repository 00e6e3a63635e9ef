"""The direct path: an input and a JSON Schema, and what comes back fits it, or says why not."""

from __future__ import annotations

from stepfold.events.event import Generated, GenerationRequested
from stepfold.providers.model import Reply
from stepfold.testing import Arrangement

LABEL = {
    "type": "object",
    "properties": {"label": {"enum": ["fees", "hours"]}},
    "required": ["label"],
}


async def test_a_generation_fits_its_schema() -> None:
    arrangement = Arrangement(replies=[Reply('{"label": "hours"}')])
    await arrangement.append(
        "c1", GenerationRequested("g1", "sort", "When do you open?", LABEL, "scripted")
    )

    await arrangement.run_to_rest()

    _, done = (await arrangement.rest()).events
    assert isinstance(done, Generated)
    assert done.output == {"label": "hours"}
