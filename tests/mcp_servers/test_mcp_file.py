"""Files that describe MCP servers: what they mean, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.tools.mcp_file import McpFileRefused, parse_mcp, read_mcp
from stepfold.tools.mcp_http import reach
from stepfold.tools.mcp_offer import full_name

WHOLE = """
[servers.files]
command = "npx"
args = ["-y", "some-server", "/data"]
env = { TOKEN = "${env:FILES_TOKEN}" }
tools = ["read_*", "write_file"]
reads = ["read_*"]
timeout_s = 20

[servers.files.tool.write_file]
effect = "write"
recovery = "reconcile"
key = "request_id"
lookup = "read_request"
lookup_key = "id"

[servers.billing]
url = "https://mcp.billing.example/mcp"
headers = { Authorization = "Bearer ${env:BILLING_TOKEN}" }
tools = ["*"]
trusted = true
"""


def test_a_file_says_how_a_server_is_reached_and_what_may_be_used() -> None:
    files, billing = parse_mcp(WHOLE, "mcp.toml")

    assert (files.name, files.command, files.secrets) == ("files", "npx", ("FILES_TOKEN",))
    assert (files.allows("read_x"), files.allows("delete_x")) == (True, False)
    assert (files.effect("read_x"), files.recovery("read_x")) == ("read", "idempotent")
    assert (files.effect("write_file"), files.recovery("write_file")) == ("write", "reconcile")
    assert (billing.effect("pay"), billing.recovery("pay")) == ("external", "never_repeat")
    assert billing.trusted


def test_a_server_is_reached_at_its_own_port_and_nowhere_else() -> None:
    _, billing = parse_mcp(WHOLE, "mcp.toml")

    far = reach(billing)

    assert (far.schemes, far.ports, far.private, far.redirects_max) == (("https",), (443,), (), 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[servers.a]\ntools = ['*']", "1: servers.a: give `command` (and `args`), or `url`"),
        (
            "[servers.a]\ncommand = 'x'\nheaders = {A = 'b'}",
            "1: servers.a: `headers` means nothing",
        ),
        ("[servers.a]\nurl = 'https://x'\nenv = {A = 'b'}", "1: servers.a: `env` means nothing"),
        ("[servers.a]\nurl = 'ftp://x'", "2: servers.a.url: it is no address: write https://"),
        ("[servers.a]\nurl = 'https://x:99999/'", "2: servers.a.url: it is no address"),
        ("[servers.a]\nurl = 'https://u:p@x/'", "2: servers.a.url: no secret stands in a URL"),
        ("[servers.a]\nurl = 'http://x/'", "1: servers.a: http is not encrypted"),
        (
            "[servers.a]\nurl = 'https://x/'\n\n[servers.a.headers]\nX-Api-Key = 'abc'",
            "4: servers.a.headers: no secret stands in a file: write X-Api-Key = '${env:NAME}'",
        ),
        ("[servers.'a b']\ncommand = 'x'", "1: servers.a b: a server's name has 1 to 32 of"),
        (
            "[servers.a]\ncommand = 'x'\ntool.y.recovery = 'idempotent'",
            "3: servers.a.tool.y: recovery = idempotent needs `key`",
        ),
        (
            "[servers.a]\ncommand = 'x'\ntool.y = {recovery = 'reconcile', key = 'k'}",
            "3: servers.a.tool.y: recovery = reconcile needs `key`, `lookup` and `lookup_key`",
        ),
        ("[servers.a]\ncommand = 'x'\ntool.y.efect = 'read'", "unknown key (known: effect, "),
        ("[servers.a]\ncommand = 'x'\nname = 'z'", "3: servers.a.name: unknown key (known: com"),
        ("[server.a]\ncommand = 'x'", "1: server: unknown key (known: servers)"),
        ("[servers.a\n", " (at line 1"),
    ],
)
def test_what_means_nothing_is_told_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(McpFileRefused) as refused:
        parse_mcp(text, "mcp.toml")

    assert any(problem in each for each in refused.value.problems), refused.value.problems
    assert all(each.startswith("mcp.toml:") for each in refused.value.problems)


def test_all_that_means_nothing_is_told_at_once_in_words_of_ours() -> None:
    text = """\
[servers.shop]
command = "x"
tools = "get_*"
reads = [3]
tool.x.effect = "reed"

[server.c]
command = "y"

[servers.d]
timeout_s = 0
bytes_max = 1.5
"""

    with pytest.raises(McpFileRefused) as refused:
        parse_mcp(text, "mcp.toml")

    assert refused.value.problems == (
        'mcp.toml:3: servers.shop.tools: it is a list: write ["…", "…"]',
        "mcp.toml:4: servers.shop.reads.0: it is a text: put it in quotes",
        "mcp.toml:5: servers.shop.tool.x.effect: it is one of 'read', 'write' or 'external'",
        "mcp.toml:7: server: unknown key (known: servers)",
        "mcp.toml:10: servers.d: give `command` (and `args`), or `url`: one of the two",
        "mcp.toml:11: servers.d.timeout_s: it must be more than 0",
        "mcp.toml:12: servers.d.bytes_max: it is a whole number",
    )


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")

    for name, why in (("gone.toml", "No such file"), ("odd.toml", "it is not UTF-8")):
        with pytest.raises(McpFileRefused, match=f"{name}: {why}"):
            read_mcp(tmp_path / name)


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("get.order/all", "shop_get_order_all"),
        ("naïve tool", "shop_na_ve_tool"),
        ("a-b", "shop_a-b"),
    ],
)
def test_a_name_is_one_that_every_provider_takes(tool: str, name: str) -> None:
    assert full_name("shop", tool) == name


def test_names_that_are_too_long_stay_different() -> None:
    first, second = full_name("shop", "x" * 100 + "1"), full_name("shop", "x" * 100 + "2")

    assert len(first) == len(second) == 64
    assert first[:55] == second[:55]
    assert first != second
