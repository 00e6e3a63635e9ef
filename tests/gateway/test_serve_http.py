"""`stepfold serve --http` and `stepfold dev`: processes that answer, and end well."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepfold.app import opened
from stepfold.cli import exits
from stepfold.settings import Settings
from tests.cli.commands import LIMIT_S, first_line, records, run, running
from tests.gateway.house import anybody, with_keys
from tests.servers import free_port


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def prepare() -> None:
        async with opened(Settings(folder=tmp_path)) as found:
            await with_keys(found)

    asyncio.run(prepare())
    return tmp_path


def key(folder: Path) -> str:
    (made,) = records(run("key", "create", "--customer", "acme", "--json", data=folder))
    return str(made["key"])


def client(url: str, key: str) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.Client(base_url=url, headers=headers, timeout=LIMIT_S, verify=False)


def lines(process: subprocess.Popen[str]) -> Any:
    return json.loads(first_line(process))


def test_a_gateway_beside_workers_answers_and_a_signal_ends_its_streams(folder: Path) -> None:
    words = ("serve", "--http", "0", "--only", "agent,reason", "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(folder)) as process:
        said = lines(process)
        with client(said["http"], key(folder)) as caller:
            caller.post("/v1/conversations", json={"conversation": "c1"})
            with caller.stream("GET", "/v1/conversations/c1/events") as response:
                told = response.iter_lines()
                assert next(told) == "retry: 1000"
                process.send_signal(signal.SIGTERM)
                rest = list(told)
        code = process.wait(LIMIT_S)

    assert said["serves"] == ["agent", "reason", "gateway"]
    assert said["http"].startswith("http://127.0.0.1:")
    assert [line for line in rest if line.startswith(": this gateway ends")]
    assert code == 0


def test_a_gateway_alone_answers_with_the_workers_of_another_process(folder: Path) -> None:
    more = {"STEPFOLD_DATA_DIR": str(folder)}
    alone = ("serve", "--only", "gateway", "--http", "0", "--json")
    with (
        running("serve", "--only", "agent,reason,retrieve", "--json", **more) as works,
        running(*alone, **more) as answers,
    ):
        first_line(works)
        said = lines(answers)
        with client(said["http"], key(folder)) as caller:
            begun = caller.post("/v1/conversations", json={"text": "What does it cost?"}).json()
            with caller.stream("GET", begun["events"]) as response:
                told = "".join(response.iter_text())

    assert said["serves"] == ["gateway"]
    assert "event: rest" in told


def test_a_port_that_is_taken_is_told_with_the_way_out(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", "--only", "gateway", "--http", port, data=folder)

    assert ended.exit_code == exits.REFUSED
    assert f"--http 127.0.0.1:{port}: " in ended.stderr
    assert "name another port, or 0" in ended.stderr


def test_what_is_no_place_is_refused_before_anything_starts(folder: Path) -> None:
    ended = run("serve", "--http", "here", data=folder)

    assert ended.exit_code == exits.USAGE
    assert "[HOST:]PORT" in ended.stderr


def test_a_port_that_none_can_be_is_told_so(folder: Path) -> None:
    ended = run("serve", "--http", "99999", data=folder)

    assert ended.exit_code == exits.USAGE
    assert "port 99999 is out of range" in " ".join(ended.stderr.replace("│", " ").split())


AGENT = """
name = "mine"
models = ["extractive"]
"""


def error(process: subprocess.Popen[str], wanted: str) -> None:
    """Read until it has said so; AssertionError when it ends before."""
    assert process.stderr is not None
    assert any(wanted in line for line in iter(process.stderr.readline, ""))


def test_dev_outlives_a_mistake_in_a_file(folder: Path) -> None:
    agent = folder / "agent.toml"
    agent.write_text(AGENT)
    words = ("dev", "--http", str(free_port()), "--agent", str(agent), "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(folder)) as process:
        about, first = lines(process), lines(process)
        agent.write_text("name = [")
        error(process, "it has ended (1)")
        agent.write_text(AGENT.replace("mine", "mended"))
        second = lines(process)
        with client(about["url"], about["key"]) as caller:
            listed = caller.get("/v1/conversations")
        process.send_signal(signal.SIGTERM)
        code = process.wait(LIMIT_S)

    assert (first["agent"], second["agent"]) == ("mine", "mended")
    assert (listed.status_code, code) == (200, 0)


def test_dev_has_no_demo_where_others_reach_it_and_watches_its_hooks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    hooks = folder / "mine.py"
    hooks.write_text("TOOLS = ()\n")
    port = free_port()
    words = ("dev", "--http", f"0.0.0.0:{port}", "--hooks", "mine", "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(folder)) as process:
        about, _ = lines(process), lines(process)
        with client(f"http://127.0.0.1:{port}", about["key"]) as caller:
            demo = [caller.get("/demo"), caller.post("/demo/token"), caller.get("/widget.js")]
        hooks.write_text("TOOLS = ()  # another\n")
        again = lines(process)

    assert [answer.status_code for answer in demo] == [404, 404, 200]
    assert again["http"] == f"http://0.0.0.0:{port}"


def test_dev_says_a_key_and_starts_anew_when_a_tool_changes(folder: Path) -> None:
    tools = folder / "tools"
    tools.mkdir()
    words = ("dev", "--http", str(free_port()), "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(folder)) as process:
        about, first = lines(process), lines(process)
        (tools / "mine.py").write_text(TOOL)
        second = lines(process)
        with client(about["url"], about["key"]) as caller:
            begun = caller.post("/v1/conversations", json={"text": "What does Team cost?"}).json()
            with caller.stream("GET", begun["events"]) as response:
                told = "".join(response.iter_text())
        process.send_signal(signal.SIGTERM)
        code = process.wait(LIMIT_S)
    (keys,) = records(run("key", "list", "--json", data=folder))

    assert "tools" not in first
    assert second["tools"] == "greet"
    assert "plans-and-prices.md" in told
    assert code == 0
    assert [each["state"].split()[0] for each in keys] == ["revoked"]


TOOL = '''
from stepfold.tools.function import tool


@tool(effect="read")
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"
'''


async def ids(url: str, key: str, many: int, **more: str) -> list[str]:
    """The first ids of a stream; fewer when the gateway dies or has not told so many."""
    told: list[str] = []
    headers = {"Authorization": f"Bearer {key}", **more}
    async with (
        anybody(url) as caller,
        caller.stream("GET", "/v1/conversations/c1/events", headers=headers) as response,
    ):
        async for line in response.aiter_lines():
            told += [line[4:]] if line.startswith("id: ") else []
            if len(told) == many:
                break
    return told


async def test_a_client_of_a_killed_gateway_goes_on_at_another(folder: Path) -> None:
    more = {"STEPFOLD_DATA_DIR": str(folder)}
    words = ("serve", "--only", "gateway", "--http", "0", "--json")
    with running("serve", "--only", "agent", "--json", **more) as works:
        first_line(works)  # who comes first owns the log's server, and it must not be killed
        with running(*words, **more) as one, running(*words, **more) as other:
            urls = [lines(each)["http"] for each in (one, other)]
            shown = await asyncio.to_thread(key, folder)
            with client(urls[0], shown) as caller:
                caller.post("/v1/conversations", json={"conversation": "c1", "text": "Hi"})
            before = await ids(urls[0], shown, 2)
            one.kill()
            one.wait()
            after = await ids(urls[1], shown, 1, **{"Last-Event-ID": before[-1]})
            with pytest.raises(httpx2.ConnectError):
                await ids(urls[0], shown, 1)

    assert [*before, *after] == ["1", "2", "3"]
