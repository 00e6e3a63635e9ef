"""Tools of a real MCP server, in a process of its own, over stdin and stdout and over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stepfold.policy.schema import mismatch
from stepfold.tools.mcp import McpServer, ReconcilingMcpTool, mcp_tools
from stepfold.tools.mcp_file import Described
from stepfold.tools.mcp_link import ServerAway
from stepfold.tools.tool import Caller, ToolError, calling
from stepfold.tools.unsure import Unsure
from tests.mcp_servers.begun import SHOP, by_name, described, python, shop_over_http, website

Shop = Callable[..., Described]
WAYS = ("stdio", "http")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "ledger"


@pytest.fixture(scope="module")
def port(ledger: Path) -> Iterator[int]:
    """Of a shop behind a URL, which all tests here ask that do it no harm."""
    with shop_over_http(ledger) as (_, port):
        yield port


@pytest.fixture
def far_shop(port: int) -> Shop:
    """Describes the shop behind a URL, where the way to it makes no difference."""
    return partial(website, port)


@pytest.fixture(params=WAYS)
def shop(request: pytest.FixtureRequest, ledger: Path) -> Shop:
    """Describes a shop, over one way and over the other."""
    if request.param == "stdio":
        return partial(python, SHOP, ledger)
    return partial(website, request.getfixturevalue("port"))


@pytest.fixture(params=WAYS)
def own_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Describes a shop that a test may ruin."""
    with ExitStack() as stack:
        if request.param == "stdio":
            yield partial(here, tmp_path)
        else:
            _, port = stack.enter_context(shop_over_http(tmp_path / "ledger"))
            yield partial(website, port)


def here(tmp_path: Path, **keys: Any) -> Described:
    return python(SHOP, tmp_path / "ledger", **keys)


async def test_a_tool_of_a_server_is_called_as_one_of_ours(shop: Shop) -> None:
    async with McpServer(shop(reads=["get_*"])) as server:
        tool = by_name(server.tools)["s_get_order"]

        result = await tool.run({"id": "o1"}, call="c1")

    assert result == {"id": "o1", "state": "sent"}
    assert tool.spec.description == "One order."
    assert mismatch({}, tool.spec.parameters) is not None
    assert mismatch(result, tool.spec.result) is None
    assert (tool.spec.effect, tool.spec.recovery, tool.spec.trusted) == (
        "read",
        "idempotent",
        False,
    )


async def test_what_the_tool_refuses_is_an_error_in_its_own_words(shop: Shop) -> None:
    async with McpServer(shop()) as server:
        with pytest.raises(ToolError, match="no order 'x1'"):
            await by_name(server.tools)["s_get_order"].run({"id": "x1"}, call="c1")


async def test_of_many_calls_at_once_each_gets_its_own_answer(shop: Shop) -> None:
    async with McpServer(shop()) as server:
        tool = by_name(server.tools)["s_get_order"]
        orders = [f"o{number}" for number in range(50)]

        results = await asyncio.gather(*(tool.run({"id": each}, call=each) for each in orders))

    assert [each["id"] for each in results] == orders


async def test_a_server_that_calls_itself_harmless_is_not_believed(far_shop: Shop) -> None:
    async with McpServer(far_shop()) as server:
        offered = {each.name: each for each in server.offered}

    assert offered["get_order"].hints == ("read-only",)
    assert offered["get_order"].spec.effect == "external"
    assert offered["get_order"].spec.recovery == "never_repeat"


async def test_only_what_the_file_names_is_used_and_the_rest_is_told(far_shop: Shop) -> None:
    async with McpServer(far_shop(tools=["get_*", "find_order"])) as server:
        left_out = {each.name: each.why for each in server.left_out}

    assert sorted(by_name(server.tools)) == ["s_find_order", "s_get_order"]
    assert left_out["place_order"] == "the file's `tools` do not name it"


async def test_a_name_that_no_model_takes_is_changed_and_a_picture_is_named(shop: Shop) -> None:
    async with McpServer(shop()) as server:
        said = await by_name(server.tools)["s_reports_yearly_all"].run({}, call="c1")

    assert said == "Sales rose.\n[left out: image, image/png, 68 bytes]"


async def test_the_key_and_the_trace_of_a_call_go_along(shop: Shop) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    async with McpServer(shop()) as server:
        with calling(Caller("acme", traceparent=parent)):
            said = await by_name(server.tools)["s_told"].run({}, call="acme/v/c1")

    assert said == f"acme/v/c1 {parent}"


async def test_a_key_argument_is_given_by_us_and_seen_by_no_model(
    far_shop: Shop, ledger: Path, request: pytest.FixtureRequest
) -> None:
    about = {"place_order": {"effect": "write", "recovery": "idempotent", "key": "key"}}
    async with McpServer(far_shop(tool=about)) as server:
        tool = by_name(server.tools)["s_place_order"]
        for _ in range(2):
            await tool.run({"item": "tea"}, call=request.node.name)

    assert ledger.read_text().count(f"{request.node.name} tea\n") == 1
    assert list(tool.spec.parameters["properties"]) == ["item"]
    assert tool.spec.parameters["required"] == ["item"]


async def test_a_lookup_tells_whether_a_call_took_effect(
    far_shop: Shop, request: pytest.FixtureRequest
) -> None:
    key = request.node.name
    rule = {"recovery": "reconcile", "key": "key", "lookup": "find_order", "lookup_key": "key"}
    async with McpServer(far_shop(tool={"place_order": rule}, reads=["find_*"])) as server:
        tool = by_name(server.tools)["s_place_order"]
        assert isinstance(tool, ReconcilingMcpTool)

        before = await tool.reconcile({"item": "tea"}, call=key)
        await tool.run({"item": "tea"}, call=key)
        after = await tool.reconcile({"item": "tea"}, call=key)

    assert before is None
    assert after == {"result": "tea"}
    assert tool.spec.lookup == "s_find_order"


@pytest.mark.parametrize(
    ("limit", "effect", "error"), [(0.5, "read", ToolError), (0.5, "write", Unsure)]
)
async def test_an_answer_that_is_late_is_not_waited_for(
    shop: Shop, limit: float, effect: str, error: type[Exception]
) -> None:
    told = shop(timeout_s=limit, tool={"sleep": {"effect": effect}}, reads=["get_*"])
    async with McpServer(told) as server:
        tools = by_name(server.tools)
        with pytest.raises(error, match=r"did not answer within 0\.5 s"):
            await tools["s_sleep"].run({"seconds": 30}, call="c1")

        assert await tools["s_get_order"].run({"id": "o1"}, call="c2")


async def test_a_tool_that_changed_since_it_was_let_in_is_not_called(own_shop: Shop) -> None:
    async with McpServer(own_shop(check_s=0)) as server:
        tools = by_name(server.tools)
        assert await tools["s_get_order"].run({"id": "o1"}, call="c1")
        await tools["s_become_evil"].run({}, call="c2")

        with pytest.raises(ToolError, match="describes it otherwise than when it was let in"):
            await tools["s_get_order"].run({"id": "o1"}, call="c3")
        with pytest.raises(ToolError, match=r"'s_find_order' is not called: .* has it no more"):
            await tools["s_find_order"].run({"key": "k"}, call="c4")
        assert tools["s_get_order"].spec.description == "One order."
        assert await tools["s_told"].run({}, call="c5")


async def test_what_was_reviewed_once_is_held_to_after_a_restart(tmp_path: Path) -> None:
    async with McpServer(here(tmp_path)) as server:
        (digest,) = [each.digest for each in server.offered if each.name == "get_order"]
    other = "sha256:" + "0" * 64

    about = {"get_order": {"digest": digest}, "find_order": {"digest": other}}
    async with McpServer(here(tmp_path, tool=about)) as server:
        left_out = {each.name: each.why for each in server.left_out}

    assert "s_get_order" in by_name(server.tools)
    assert left_out["find_order"].startswith("it is not what was reviewed: it is sha256:")


async def test_a_call_during_which_the_program_dies_fails_when_it_reads_and_the_next_finds_another(
    tmp_path: Path,
) -> None:
    async with McpServer(here(tmp_path, reads=["*"])) as server:
        tools = by_name(server.tools)
        with pytest.raises(ToolError, match=r"MCP server 's': it ended \(exit code 3\)"):
            await tools["s_die"].run({"word": "x"}, call="c1")

        assert await tools["s_die"].run({"word": "x"}, call="c2") == {"result": "x"}


async def test_a_call_during_which_the_server_dies_is_unsure_when_it_writes(own_shop: Shop) -> None:
    async with McpServer(own_shop()) as server:
        with pytest.raises(Unsure, match="whether 'die_writing' took effect is not known"):
            await by_name(server.tools)["s_die_writing"].run({"word": "x"}, call="c1")


async def test_a_server_behind_a_url_that_was_started_again_is_used_again(tmp_path: Path) -> None:
    with shop_over_http(tmp_path / "ledger") as (process, port):
        async with McpServer(website(port, timeout_s=5)) as server:
            tool = by_name(server.tools)["s_get_order"]
            assert await tool.run({"id": "o1"}, call="c1")
            process.kill()
            process.wait(10)

            with pytest.raises(ToolError, match=r"(?i)connect"):
                await tool.run({"id": "o1"}, call="c2")
            with shop_over_http(tmp_path / "ledger", port):
                assert await tool.run({"id": "o1"}, call="c3")


async def test_a_program_gets_path_and_what_its_file_names_and_no_result_repeats_a_secret(
    tmp_path: Path,
) -> None:
    environment = {"PATH": "/usr/bin:/bin", "SHOP": "s3cret-value", "OTHER": "x"}
    told = here(tmp_path, env={"SHOP_TOKEN": "Bearer ${env:SHOP}"})

    async with McpServer(told, environment=environment) as server:
        said = await by_name(server.tools)["s_environment"].run({}, call="c1")

    names = {line.partition("=")[0] for line in said.splitlines()} - {"LC_CTYPE"}
    assert names == {"PATH", "SHOP_TOKEN"}
    assert "SHOP_TOKEN=Bearer [SHOP]" in said
    assert "s3cret" not in said


async def test_a_server_that_cannot_be_reached_is_named_with_the_reason() -> None:
    for told, why in (
        (described(command="no-such-program", tools=["*"]), "no program 'no-such-program' on PATH"),
        (python(Path("/no/such.py")), r"it ended \(exit code 2\): .*No such file or directory"),
        (shell("kill -9 $$"), r"it ended \(SIGKILL\) without a word$"),
        (shell("echo first >&2; echo no luck >&2; echo >&2; exit 7"), "exit code 7.: no luck$"),
        (shell("exec >&-; sleep 60"), "its output ended$"),
        (website(1, start_s=5), "connect"),
        (described(command=sys.executable, env={"A": "${env:GONE}"}), "variable GONE is not set"),
    ):
        with pytest.raises(ServerAway, match=f"(?i)^MCP server 's': .*{why}") as away:
            await McpServer(told, environment={"PATH": "/usr/bin:/bin"}).__aenter__()
        assert str(away.value).count("MCP server") == 1


async def test_the_last_words_of_a_program_repeat_no_secret() -> None:
    told = shell("echo no $WORD >&2; exit 1", env={"WORD": "${env:TOKEN}"})
    environment = {"PATH": "/usr/bin:/bin", "TOKEN": "s3cret-value"}

    with pytest.raises(ServerAway, match=r"it ended \(exit code 1\): no \[TOKEN\]$"):
        await McpServer(told, environment=environment).__aenter__()


def shell(text: str, **keys: Any) -> Described:
    return described(command="sh", args=["-c", text], tools=["*"], **keys)


async def test_a_url_into_a_private_network_is_not_asked_unless_the_file_says_so(
    tmp_path: Path,
) -> None:
    with shop_over_http(tmp_path / "ledger") as (_, port):
        elsewhere = website(port, private=["10.0.0.0/8"])

        with pytest.raises(ServerAway, match=r"127\.0\.0\.1"):
            await McpServer(elsewhere).__aenter__()


async def test_programs_end_with_the_block(tmp_path: Path) -> None:
    async with mcp_tools([here(tmp_path), here(tmp_path)]) as tools:
        ran = _programs(tmp_path)

    assert {tool.spec.name for tool in tools} >= {"s_get_order"}
    assert len(ran) == 2
    assert _programs(tmp_path) == []


def _programs(folder: Path) -> list[bytes]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # one that ended meanwhile
            found.append(file.read_bytes())
    return [line for line in found if str(folder).encode() in line]
