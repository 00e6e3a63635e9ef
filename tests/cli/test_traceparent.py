"""A caller's trace goes on through the log: one process asks, another works, all in one trace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from stepfold.events.traces import caller
from stepfold.streams import server
from stepfold.streams.config import STEPS
from stepfold.streams.jetstream.connection import connect
from tests.cli.commands import first_line, records, run, running, spawn
from tests.observability.made import CALLER_SPAN, CALLER_TRACE, TRACEPARENT

OTHER = f"00-{'1' * 32}-{'2' * 16}-01"
HOOKS = """
from stepfold.tools.tool import FunctionTool, ToolSpec, traceparent

async def order(arguments, call):
    return traceparent()

TOOLS = [FunctionTool(ToolSpec("order", effect="read"), order)]
"""
AGENT = 'name = "shop"\nmodels = ["scripted"]\ntools = ["order"]\n'
REPLIES = ({"calls": [{"name": "order", "arguments": {}}]}, {"text": "It was sent."})
ASKS, CALLS = "chat scripted", "execute_tool order"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a log that another process serves; its tool tells what it was handed."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "shop.toml").write_text(AGENT)
    (folder / "traced_hooks.py").write_text(HOOKS)
    (folder / "script.jsonl").write_text("\n".join(map(json.dumps, REPLIES * 3)))
    words = ("--agent", folder / "shop.toml", "--script", folder / "script.jsonl")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    more = {"STEPFOLD_DATA_DIR": str(folder), "PYTHONPATH": path}
    with running("serve", "--json", *words, "--hooks", "traced_hooks", **more) as process:
        assert '"serves"' in first_line(process)
        yield folder


def ask(shop: Path, conversation: str, *words: str, **more: str) -> None:
    ended = spawn(
        *("publish", "Where is it?", "--customer", "acme", "--conversation", conversation),
        *("--wait", "30", *words),
        **{"STEPFOLD_DATA_DIR": str(shop), **more},
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def asked(shop: Path) -> Path:
    """A conversation that a caller with a trace has asked something in."""
    ask(shop, "called", "--traceparent", TRACEPARENT)
    return shop


@pytest.fixture
def steps(asked: Path) -> list[Any]:
    return records(run("tail", "--conversation", "called", "--json", data=asked))


def told(shop: Path, conversation: str) -> list[Any]:
    return records(run("trace", "export", f"acme/{conversation}", data=shop))


def test_the_callers_span_is_the_parent_of_what_another_process_did(asked: Path) -> None:
    root, *below = told(asked, "called")

    assert {span["trace"] for span in (root, *below)} == {CALLER_TRACE}
    assert (root["parent"], root["remote"]) == (CALLER_SPAN, True)
    assert [span["name"] for span in below] == [ASKS, CALLS, ASKS]
    assert {span["parent"] for span in below} == {root["id"]}


def test_a_tool_in_that_process_was_handed_its_own_span_in_the_callers_trace(
    asked: Path, steps: list[Any]
) -> None:
    (result,) = (step["event"]["result"] for step in steps if "result" in step["event"])

    (tool,) = (span for span in told(asked, "called") if span["name"] == CALLS)

    assert caller(result) == (CALLER_TRACE, tool["id"])


async def test_every_step_of_either_process_has_the_header(asked: Path, steps: list[Any]) -> None:
    async with connect(server.url(asked)) as client:
        stream = client.jetstream()
        messages = [await stream.get_msg(STEPS, step["position"]) for step in steps]

    assert {step["by"] for step in steps} >= {"cli", "agent", "reason", "tool"}
    assert {(each.headers or {}).get("Stepfold-Traceparent") for each in messages} == {TRACEPARENT}


def test_the_environment_names_a_caller_unless_the_command_does(shop: Path) -> None:
    ask(shop, "environment", TRACEPARENT=OTHER)
    ask(shop, "both", "--traceparent", TRACEPARENT, TRACEPARENT=OTHER)

    roots = [told(shop, conversation)[0] for conversation in ("environment", "both")]

    assert [root["parent"] for root in roots] == ["2" * 16, CALLER_SPAN]


def test_a_chat_has_a_caller_too(tmp_path: Path) -> None:
    ended = spawn(
        *("chat", "--json"), input="Hi\n", STEPFOLD_DATA_DIR=str(tmp_path), TRACEPARENT=OTHER
    )

    assert ended.returncode == 0, ended.stderr
    found = records(run("trace", "export", data=tmp_path))
    assert {span["trace"] for span in found} == {"1" * 32}


@pytest.mark.parametrize("trace", ["nonsense", f"00-{'0' * 32}-{'2' * 16}-01", OTHER + "\r\nX: y"])
@pytest.mark.parametrize("command", ["publish", "chat"])
def test_what_is_no_traceparent_is_a_usage_error(
    tmp_path: Path, command: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", trace)
    words = ("Hi", "--customer", "acme", "--conversation", "c1") if command == "publish" else ()

    ended = run(command, *words, data=tmp_path)

    assert ended.exit_code == exits.USAGE
    assert "or in TRACEPARENT, is no W3C traceparent, such as" in " ".join(ended.stderr.split())
