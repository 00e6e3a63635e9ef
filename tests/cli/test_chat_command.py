"""`stepfold chat`, and what `chat` and `serve` bring to work with: agents, scripts, hooks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from stepfold.cli import exits
from stepfold.knowledge.documents import SAMPLE
from tests.cli.commands import LIMIT_S, PROGRAM, environ, first_line, records, run, running, spawn

HOOKS = """
from stepfold.events.event import ToolRequested
from stepfold.tools.tool import FunctionTool, ToolSpec

async def order(arguments, call):
    return {"order": arguments["order"], "state": "sent"}

TOOLS = [FunctionTool(ToolSpec("order", effect="read"), order)]

def never_thirteen(state, event):
    if isinstance(event, ToolRequested) and event.arguments.get("order") == 13:
        return "unlucky"

VETOES = [never_thirteen]
"""
AGENT = 'name = "shop"\nmodels = ["scripted"]\ntools = ["order"]\n[limits]\nturn_s = 30\n'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an agent, a script and hooks."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.toml").write_text(AGENT)
    (folder / "shop_hooks.py").write_text(HOOKS)
    replies = [
        {"calls": [{"name": "order", "arguments": {"order": 17}}]},
        {"text": "It was sent."},
        {"calls": [{"name": "order", "arguments": {"order": 13}}]},
        {"text": "I cannot say."},
    ]
    (folder / "script.jsonl").write_text("\n".join(map(json.dumps, replies)))
    return folder


@pytest.fixture(scope="module")
def talked(shop: Path) -> subprocess.CompletedProcess[str]:
    """What a chat with that agent printed; its log is in `data`."""
    more = {"STEPFOLD_DATA_DIR": str(shop / "data"), "PYTHONPATH": python_path(shop)}
    return spawn("chat", "--json", *bring(shop), input="Where is 17?\nAnd 13?\n", **more)


def bring(shop: Path) -> tuple[str, ...]:
    files = (str(shop / "shop.toml"), str(shop / "script.jsonl"))
    return ("--agent", files[0], "--script", files[1], "--hooks", "shop_hooks")


def python_path(shop: Path) -> str:
    return os.pathsep.join([str(shop), os.environ.get("PYTHONPATH", "")])


def test_lines_of_stdin_are_one_conversation(tmp_path: Path) -> None:
    run("knowledge", "add", SAMPLE, data=tmp_path)

    ended = spawn(
        *("chat", "--json"),
        input="How do I export invoices as CSV?\n\nAnd what is bitcoin?",
        STEPFOLD_DATA_DIR=str(tmp_path),
    )

    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0
    assert len({answer["conversation"] for answer in answers}) == 1
    assert [len(answer["citations"]) for answer in answers] == [1, 0]


def test_a_file_as_stdin_is_read_to_its_end(tmp_path: Path) -> None:
    ended = spawn("chat", input="", STEPFOLD_DATA_DIR=str(tmp_path))

    assert (ended.returncode, ended.stdout) == (0, "")


def test_on_a_terminal_it_greets_and_prompts(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execve(
            PROGRAM[0],
            [*PROGRAM, "chat"],
            {**environ(STEPFOLD_DATA_DIR=str(tmp_path), TERM="dumb", COLUMNS="60")},
        )
    said = b""
    while b"> " not in said:
        said += os.read(terminal, 1024)
    os.write(terminal, b"\x04")
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 0
    assert b"default is empty: stepfold knowledge" in said
    assert b"\x1b" not in said


def test_an_agent_a_script_and_hooks_of_ones_own(
    talked: subprocess.CompletedProcess[str],
) -> None:
    answers = [json.loads(line) for line in talked.stdout.splitlines()]

    assert talked.stderr == ""
    assert [answer["answer"] for answer in answers] == ["It was sent.", "I cannot say."]
    assert ["tool.returned" in answer["steps"] for answer in answers] == [True, False]
    assert "tool.refused" in answers[1]["steps"]


@pytest.mark.usefixtures("talked")
def test_a_replay_needs_the_vetoes_that_were_there(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(shop)

    without = run("replay", data=shop / "data")
    with_them = run("replay", "--hooks", "shop_hooks", data=shop / "data")

    assert (without.exit_code, with_them.exit_code) == (exits.REFUSED, 0)


def test_who_serves_an_agent_appoints_it_for_new_conversations(shop: Path, tmp_path: Path) -> None:
    more = {"STEPFOLD_DATA_DIR": str(tmp_path), "PYTHONPATH": python_path(shop)}
    with running("serve", "--json", *bring(shop), **more) as process:
        assert json.loads(first_line(process))["agent"] == "shop"
        _, answer = records(
            run(
                *("publish", "Where?", "--customer", "a", "--conversation", "b"),
                *("--wait", str(LIMIT_S), "--json"),
                data=tmp_path,
            )
        )

    assert answer["answer"] == "It was sent."


def test_a_turn_that_has_no_route_ends_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('name = "x"\nmodels = []\n')

    ended = spawn(
        *("chat", "--agent", tmp_path / "agent.toml"),
        input="Hi\n",
        STEPFOLD_DATA_DIR=str(tmp_path / "data"),
    )

    lines = [line.strip() for line in ended.stdout.splitlines()]
    assert lines[0].startswith("No answer: model. no route for task 'converse'")
    assert "Add routes with `stepfold route apply FILE`." in lines


def test_a_turn_that_fails_for_another_reason_is_no_matter_of_routes(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('name = "x"\nmodels = []\n')
    (tmp_path / "routes.toml").write_text(
        '[converse]\nask = [{ model = "extractive", when = { channels = ["slack"] } }]\n'
    )
    run("route", "apply", tmp_path / "routes.toml", data=tmp_path / "data")

    ended = spawn(
        *("chat", "--agent", tmp_path / "agent.toml"),
        input="Hi\n",
        STEPFOLD_DATA_DIR=str(tmp_path / "data"),
    )

    assert "No answer: " in ended.stdout
    assert "route apply" not in ended.stdout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('name = "x"\nmodles = ["a"]', "modles"),
        ('name = "x"\nmodels = ["gpt"]', "unknown model 'gpt' (known: extractive)"),
        ('name = "x"\ntools = ["emial"]', "unknown tool 'emial' (known: none)"),
        ("name =", "agent file"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "agent.toml").write_text(text)

    ended = run("chat", "--agent", tmp_path / "agent.toml", data=tmp_path)

    assert ended.exit_code in (exits.REFUSED, exits.USAGE)
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "why"), [("no_such_module", "No module named"), ("json", "defines none of TOOLS")]
)
def test_hooks_that_are_none_are_refused(tmp_path: Path, name: str, why: str) -> None:
    ended = run("serve", "--hooks", name, data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert why in ended.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("MODELS = [1]", "MODELS is a list: a table of names to models"),
        ("MODELS = {'mine': 1}", "MODELS['mine'] is a int: "),
        ("TOOLS = {'order': 1}", "TOOLS is a dict: a list"),
        ("TOOLS = [print]", "TOOLS[0] is a builtin_function_or_method: a tool is made by @tool"),
        ("VETOES = ['no']", "VETOES[0] is a str: a veto is a function"),
        ("OBSERVERS = [print]", "OBSERVERS[0] is a "),
    ],
)
def test_hooks_of_another_shape_are_told_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"misshapen_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(f"{text}\n")

    ended = run("serve", "--hooks", name, data=tmp_path / "data")

    assert ended.exit_code == exits.REFUSED
    assert ended.stderr.startswith(f"stepfold: hooks {name!r}: {why}")


def test_a_script_is_not_ignored_where_other_workers_would_answer(
    served: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.jsonl").write_text('{"text": "hi"}\n')

    ended = run("chat", "--script", tmp_path / "script.jsonl", data=served)

    assert ended.exit_code == 1
    assert "workers serve this log" in ended.stderr


def test_a_script_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "script.jsonl").write_text('{"text": "hi"}\n{"text": 3}\n')

    ended = run("serve", "--script", tmp_path / "script.jsonl", data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert "script.jsonl:2" in ended.stderr
