"""The model that says what its script says."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from stepfold.events.transcript import Heard
from stepfold.events.values import Usage
from stepfold.providers.model import Call, ModelBusy, ModelFailed, Prompt, Reply
from stepfold.providers.scripted import ScriptedModel, load_script

PROMPT = Prompt(instructions="", tools=(), transcript=(Heard("hello"),), call="r1")


async def test_it_gives_its_replies_in_order_and_keeps_what_it_was_asked() -> None:
    model = ScriptedModel([Reply(text="one"), Reply(text="two")], name="m")

    said = [(await model.reply(PROMPT)).text, (await model.reply(PROMPT)).text]

    assert said == ["one", "two"]
    assert model.prompts == [PROMPT, PROMPT]


async def test_its_replies_carry_its_name_and_cost_nothing_unless_they_say_so() -> None:
    priced = Reply(text="two", usage=Usage(input=3), cost_usd=Decimal("0.01"))
    model = ScriptedModel([Reply(text="one"), priced], name="m")

    free, paid = await model.reply(PROMPT), await model.reply(PROMPT)

    assert (free.model, free.provider, free.cost_usd) == ("m", "scripted", Decimal(0))
    assert paid.cost_usd == Decimal("0.01")


async def test_usage_without_a_price_stays_unpriced() -> None:
    model = ScriptedModel([Reply(text="one", usage=Usage(input=3))])

    assert (await model.reply(PROMPT)).cost_usd is None


async def test_an_error_in_the_script_is_raised() -> None:
    model = ScriptedModel([ModelBusy("slow down"), Reply(text="one")])

    with pytest.raises(ModelBusy, match="slow down"):
        await model.reply(PROMPT)
    assert (await model.reply(PROMPT)).text == "one"


async def test_the_end_of_the_script_says_so() -> None:
    model = ScriptedModel([Reply(text="one")], name="short")
    await model.reply(PROMPT)

    with pytest.raises(ModelFailed, match=r"the script of 'short' has ended after 1 replies"):
        await model.reply(PROMPT)


def test_a_script_is_read_from_a_file_one_reply_a_line(tmp_path: Path) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text('{"text":"hi"}\n\n{"calls":[{"name":"search","arguments":{"query":"x"}}]}\n')

    assert load_script(path) == [Reply(text="hi"), Reply(calls=(Call("search", {"query": "x"}),))]


def test_a_line_that_is_no_reply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text('{"text":"hi"}\n{"text":7}\n')

    with pytest.raises(ValueError, match=r"script\.jsonl:2: not a scripted reply"):
        load_script(path)
