"""Tools from a folder: what is taken, and what is refused with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepfold.tools.files import ToolsRefused, load_python, load_tools
from stepfold.tools.tool import Tool
from tests.tools.wild_server import json, wild

TOML = 'name = "NAME"\ndescription = "d"\nurl = "https://x.example/"\n'
PYTHON = """
from stepfold.tools.tool import FunctionTool, ToolSpec


async def greet(arguments, call):
    return f"Hello, {arguments['name']}"


greeting = FunctionTool(ToolSpec("NAME", "Greets."), greet)
same = greeting
"""


def names(tools: object) -> list[str]:
    assert isinstance(tools, tuple)
    return [each.spec.name for each in tools]


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        stem, _, ending = name.rpartition("_")
        (folder / f"{stem}.{ending}").write_text(text)
    return folder


def refused(path: Path) -> tuple[str, ...]:
    with pytest.raises(ToolsRefused) as error:
        load_tools(path)
    return error.value.problems


async def test_a_folder_gives_the_tools_of_its_files_by_name(tmp_path: Path) -> None:
    written(
        tmp_path,
        b_toml=TOML.replace("NAME", "order"),
        a_py=PYTHON.replace("NAME", "greet"),
        notes_md="# no tool",
        _draft_toml="no tool",
    )

    tools = load_tools(tmp_path)

    assert names(tools) == ["greet", "order"]
    assert await tools[0].run({"name": "Anna"}, call="c") == "Hello, Anna"


def test_a_single_file_gives_its_tool_and_a_missing_folder_none(tmp_path: Path) -> None:
    written(tmp_path, a_toml=TOML)

    assert names(load_tools(tmp_path / "a.toml")) == ["NAME"]
    assert names(load_tools(tmp_path / "none")) == []


async def test_a_tool_of_ten_lines_is_called(tmp_path: Path) -> None:
    async with wild({"/orders/7": json({"order": {"state": "sent"}})}) as server:
        text = f"""name = "order"
description = "The state of one order."
url = "{server.url}/orders/{{order}}"
result_at = "order"
[headers]
Authorization = "Bearer ${{env:KEY}}"
[parameters]
order = "string: The number on the invoice"
[reach]
private = ["127.0.0.1:{server.port}"]"""
        (tmp_path / "order.toml").write_text(text)
        (tool,) = load_tools(tmp_path, environment={"KEY": "s3cret"})

        assert await tool.run({"order": "7"}, call="c") == {"state": "sent"}
        assert len(text.splitlines()) == 10


def test_two_tools_of_one_name_are_refused_with_both_files(tmp_path: Path) -> None:
    written(tmp_path, a_toml=TOML, b_py=PYTHON)

    (problem,) = refused(tmp_path)

    assert problem == (
        f"{tmp_path}/b.py: the tool 'NAME' stands in {tmp_path}/a.toml already: rename one"
    )


def test_the_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    written(
        tmp_path,
        a_toml=TOML + "colour = 1\n",
        b_py="x = 1\n\nraise ValueError('no key')\n",
        c_py="def f(:\n",
        d_py="x = 1\n",
        e_py="import sys\nsys.exit(3)\n",
        f_py="def f():\n    return {}['key']\n\n\nf()\n",
    )

    told = [each.removeprefix(f"{tmp_path}/") for each in refused(tmp_path)]

    assert told[0].startswith("a.toml:4: colour: unknown key")
    assert told[1:3] == ["b.py:3: ValueError: no key", "c.py:1: SyntaxError: invalid syntax"]
    assert told[3].startswith("d.py:1: it makes no tool: ")
    assert told[4:] == ["e.py:2: SystemExit: 3", "f.py:2: KeyError: 'key'"]


async def test_a_typed_function_is_taken_and_a_wrong_one_is_told_with_its_own_place(
    tmp_path: Path,
) -> None:
    head = "from stepfold.tools.function import tool\n\n\n@tool(effect='read')\n"
    good = 'def twice(number: int) -> int:\n    """Doubles."""\n    return 2 * number\n'
    written(tmp_path, a_py=head + good)

    (twice,) = load_tools(tmp_path)
    assert await twice.run({"number": 4}, call="c") == 8

    written(tmp_path, a_py=head + "def twice(number):\n    return 2 * number\n")
    assert all(each.startswith(f"{tmp_path}/a.py:") for each in refused(tmp_path))


def test_types_of_a_python_file_are_found_in_its_own_module(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nimport typing\n"
        + PYTHON
        + (
            "\nclass Order: ...\ndef of(order: Order) -> None: ...\n"
            "assert typing.get_type_hints(of)\n"
        )
    )
    written(tmp_path, a_py=text)

    tools: list[Tool] = list(load_python(tmp_path / "a.py"))

    assert [each.spec.name for each in tools] == ["NAME"]


def test_the_function_on_the_page_is_a_tool(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "tools.md"
    (shown,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "refund.py").write_text(shown)

    (refund,) = load_tools(tmp_path)

    assert (refund.spec.name, refund.spec.lookup) == ("refund", "refund")
    assert refund.spec.parameters["properties"].keys() == {"order", "amount"}
    order = refund.spec.parameters["properties"]["order"]
    assert order["description"] == "The order's number, as on the invoice."
