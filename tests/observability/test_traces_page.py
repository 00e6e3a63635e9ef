"""docs/traces.md says what the code says."""

from __future__ import annotations

import asyncio
import re
from importlib import import_module
from typing import cast

from stepfold.events.traces import caller
from stepfold.observability import names
from stepfold.observability.families import FAMILIES
from stepfold.tools.tool import Caller, FunctionTool, calling
from tests.observability.made import TRACEPARENT
from tests.test_docs import DOCS, blocks, table

PAGE = DOCS / "traces.md"
NAMES = {value for name, value in vars(names).items() if name.isupper()}


def is_known(name: str) -> bool:
    if name.endswith(".*"):
        return any(each.startswith(name.removesuffix(".*")) for each in NAMES)
    return name in NAMES


def test_the_metrics_are_those_of_the_code() -> None:
    said = table(PAGE, "| name | kind | labels |")

    assert said == {family.name: [family.kind, ", ".join(family.labels)] for family in FAMILIES}


def test_the_limits_are_those_of_the_code() -> None:
    said = table(PAGE, "| limit | value | where | what happens there |")

    assert len(said) == 11
    for limit, (value, where, _) in said.items():
        assert float(value) == getattr(import_module(f"stepfold.{where.strip('`')}"), limit), limit


def test_each_name_of_an_attribute_is_one_that_spans_have() -> None:
    text = PAGE.read_text()
    prefixes = r"gen_ai|llm|langfuse|stepfold\.(?!tools)|session|user|openinference|retrieval|error"

    said = set(re.findall(rf"`((?:{prefixes})[\w.]*\.[\w.*]+)`", text))

    assert len(said) > 25
    unknown = {name for name in said if not is_known(name)}
    assert unknown == set()


def test_the_tool_of_the_page_hands_on_the_span_of_its_call() -> None:
    (source,) = blocks(PAGE, "python")
    module: dict[str, object] = {}
    exec(compile(source, str(PAGE), "exec"), module)
    (tool,) = cast("list[FunctionTool]", module["TOOLS"])

    with calling(Caller(traceparent=TRACEPARENT)):
        told = asyncio.run(tool.run({}, call="c1"))

    assert caller(told["would send"]["traceparent"]) == caller(TRACEPARENT)
