"""Extract: the fields that are asked for, each with its words; null where the text has none."""

from __future__ import annotations

from stepfold.events.event import Generated
from stepfold.tasks import Extract
from tests.tasks.asked import ask, fits

FIELDS = {"order": "the number of the order", "city": ""}
FOUND = {
    "order": {"value": "17", "quote": "order 17"},
    "city": {"value": None, "quote": None},
}


async def test_what_the_text_does_not_say_stays_null() -> None:
    brief = Extract("Where is order 17?", FIELDS).brief()

    steps, prompts = await ask(brief, FOUND)

    assert isinstance(steps[-1], Generated)
    assert steps[-1].output == FOUND
    assert "the number of the order" in prompts[0].instructions


def test_a_field_may_neither_be_missing_nor_be_made_up() -> None:
    brief = Extract("Where is order 17?", FIELDS).brief()

    assert not fits(brief, {"order": FOUND["order"]})
    assert not fits(brief, {**FOUND, "name": FOUND["city"]})
    assert not fits(brief, {**FOUND, "order": "17"})


def test_without_fields_all_facts_are_listed() -> None:
    brief = Extract("Where is order 17?").brief()

    assert fits(brief, {"facts": [{"name": "order", "value": "17", "quote": "order 17"}]})
    assert fits(brief, {"facts": []})
    assert not fits(brief, {"facts": [{"name": "order", "value": "17"}]})
