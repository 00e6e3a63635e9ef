"""An error in the middle of an answer stays what it is, whatever its counts of tokens look like."""

from __future__ import annotations

import pytest

from stepfold.providers.model import Malformed, ModelBusy, ModelError, NoMoney
from stepfold.providers.wire import Json
from tests.providers import anthropic_served, cohere_served
from tests.providers.raw_server import json, stream

COUNTED_BADLY: Json = {
    **anthropic_served.MESSAGE,
    "usage": {"input_tokens": "five", "output_tokens": 9},
}


def begun(pieces: int = 4) -> list[str]:
    return anthropic_served.written(COUNTED_BADLY)[:pieces]


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [("overloaded_error", ModelBusy, "overloaded"), ("billing_error", NoMoney, "no_money")],
)
async def test_an_error_inside_a_stream_is_not_lost_for_its_usage(
    word: str, kind: type[ModelError], reason: str
) -> None:
    told = json(anthropic_served.error(word)).body.decode()

    error = await anthropic_served.failing(
        stream(*begun(), f"event: error\ndata: {told}\n\n"), hears=True
    )

    assert (type(error), error.reason, error.usage) == (kind, reason, None)
    assert word in error.body


async def test_a_connection_that_breaks_is_cut_whatever_was_counted() -> None:
    error = await anthropic_served.failing(stream(*begun(), ending="abrupt"), hears=True)

    assert (type(error), error.reason, error.usage) == (Malformed, "cut", None)


async def test_an_answer_that_stalls_is_late_whatever_was_counted() -> None:
    error = await anthropic_served.failing(
        stream(*begun(), ending="stall"), hears=True, timeout_s=0.3
    )

    assert (type(error), error.reason, error.usage) == (ModelBusy, "timeout", None)


async def test_an_event_that_cannot_be_read_is_the_one_that_is_told() -> None:
    counted = cohere_served.ended({"finish_reason": "COMPLETE", "usage": {"tokens": "many"}})

    error = await cohere_served.failing(
        stream(*cohere_served.written()[:-1], counted, "data: no json\n\n"), hears=True
    )

    assert (type(error), error.body, error.usage) == (Malformed, "no json", None)
