"""An answer quotes what was retrieved. A quote that stands nowhere is taken out of the answer."""

from __future__ import annotations

from stepfold.knowledge.document import Document
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.providers.extractive import ExtractiveModel
from stepfold.testing import run_to_rest

HOURS = Document(
    id="hours.md",
    title="Opening hours",
    content="The branch opens at nine in the morning. On Sundays the branch is closed.",
)


async def test_every_quote_stands_verbatim_in_its_document() -> None:
    agent = Agent(name="help-desk", models=("extractive",), collections=("handbook",))

    rest = await run_to_rest(
        agent,
        "When does the branch open in the morning?",
        models={"extractive": ExtractiveModel()},
        knowledge=MemoryKnowledge({"handbook": [HOURS]}),
    )

    (answer,) = rest.answers
    assert answer.citations
    for citation in answer.citations:
        assert HOURS.content[citation.start : citation.end] == citation.quote
