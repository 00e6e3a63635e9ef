"""`connections/NAME.toml`: what it enables, for whom it goes where, and what is wrong in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stepfold.tools.openapi import (
    ConnectionRefused,
    Credentials,
    StaticHeaders,
    catalogue,
    load_connections,
    parse_description,
)
from stepfold.tools.openapi.connection import Connection, parse_connection
from stepfold.tools.openapi.making import Wanted, keep
from stepfold.tools.tool import Caller, Tool, ToolError, calling
from tests.connections.loopback import Answer, answering
from tests.connections.small import described

PAGE = Path(__file__).parents[2] / "docs" / "connections.md"
TEXT = {"type": "string"}
ID = {"name": "id", "in": "path", "required": True, "schema": TEXT}
PATHS: dict[str, Any] = {
    "/things": {
        "get": {"operationId": "ListThings", "tags": ["Things"]},
        "post": {"operationId": "AddThing", "tags": ["Things"]},
    },
    "/things/{id}": {"get": {"operationId": "ShowThing", "tags": ["Things"], "parameters": [ID]}},
    "/things/search": {"post": {"operationId": "SearchThings"}},
    "/people": {"get": {"operationId": "ListPeople"}},
}


def written(folder: Path, settings: str = "", **more: Any) -> Path:
    """A connection `shop` whose file says so."""
    raw = json.dumps(described(PATHS, **more)).encode()
    made = Wanted(name="shop", catalogue=catalogue(parse_description(raw))).make()
    keep(made, folder)
    if settings:
        (folder / "shop.toml").write_text(settings)
    return folder / "shop.toml"


def names(tools: Any) -> list[str]:
    return [tool.spec.name for tool in tools]


def test_reads_are_enabled_by_pattern_and_writes_by_name(tmp_path: Path) -> None:
    written(tmp_path, 'reads = ["List*", "/things/*"]\nwrites = ["AddThing"]\n')

    tools = load_connections(tmp_path)

    assert names(tools) == [
        "shop_ListThings",
        "shop_ShowThing",
        "shop_ListPeople",
        "shop_AddThing",
        "shop_find_tool",
        "shop_use_tool",
    ]
    assert [tool.spec.effect for tool in tools] == ["read", "read", "read", "write", "read", "read"]


def test_a_tag_is_a_pattern_too_and_enables_no_write(tmp_path: Path) -> None:
    written(tmp_path, 'reads = ["Things"]\n')

    assert names(load_connections(tmp_path))[:-2] == ["shop_ListThings", "shop_ShowThing"]


def test_a_post_that_searches_is_a_read_only_when_it_is_named(tmp_path: Path) -> None:
    written(tmp_path, 'reads = ["*"]\n')
    assert "shop_SearchThings" not in names(load_connections(tmp_path))

    written(tmp_path, 'reads = ["SearchThings"]\n')
    assert load_connections(tmp_path)[0].spec.effect == "read"


def test_without_a_folder_there_are_no_tools(tmp_path: Path) -> None:
    assert list(load_connections(tmp_path / "none")) == []


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    written(
        tmp_path,
        'server = "shop.example"\nreeds = []\nreads = "x"\n\n[auth]\nkind = "bearer"\n'
        'token = "abc"\n\n[headers]\nHost = "x"\n\n[reach]\nprivat = []\n\n'
        '[customers.acme]\nserver = "https://u:p@x"\nauth = { kind = "magic" }\n',
    )

    with pytest.raises(ConnectionRefused) as refused:
        load_connections(tmp_path)

    told = [problem.removeprefix(f"{tmp_path}/") for problem in refused.value.problems]
    assert told == [
        "shop.toml:1: server = 'shop.example': write https://host/path, without a user",
        "shop.toml:2: unknown key `reeds` (known: server, reads, writes, own, key_header,"
        " variables, headers, auth, reach, results, customers)",
        "shop.toml:3: reads: Expected `array`, got `str`",
        "shop.toml:7: auth: a secret stands in no file: write token ="
        ' "${env:VARIABLE}" and set VARIABLE',
        "shop.toml:10: headers: 'Host' is no header that can be set",
        "shop.toml:13: reach: unknown key `privat` (known: schemes, ports, private, bytes_max,"
        " timeout_s, redirects_max)",
        "shop.toml:16: customers.acme: server = 'https://u:p@x': write https://host/path, without"
        " a user",
        "shop.toml:17: customers.acme.auth: kind = 'magic' (known: bearer, basic, header, query,"
        " oauth2_…)",
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('reads = ["Lost*"]', "read 'Lost*': no such operation"),
        ('reads = ["AddThing"]', "read 'AddThing' is a POST, a write: --write AddThing"),
        ('reads = ["/things/search"]', "it matches no plain read, only SearchThings"),
        ('writes = ["AddThng"]', "did you mean 'AddThing'?"),
        ('writes = ["Add*"]', "write 'Add*': no such operation"),
        ('writes = ["ListThings"]', "write 'ListThings' is a GET: it is a read"),
        ('reads = ["SearchThings"]\nwrites = ["SearchThings"]', "named as a read and as a write"),
        ('[auth]\nkind = "oauth2_code"', "[auth] is of OAuth 2, and nobody keeps tokens here"),
        ("x = ", "shop.toml: Invalid value"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(tmp_path: Path, settings: str, says: str) -> None:
    written(tmp_path, settings + "\n")

    with pytest.raises(ConnectionRefused) as refused:
        load_connections(tmp_path)

    assert says in str(refused.value)


def test_a_catalogue_that_is_lost_or_broken_says_how_to_make_it_again(tmp_path: Path) -> None:
    lost = written(tmp_path).with_suffix(".json")

    lost.write_text("{")
    with pytest.raises(ConnectionRefused, match="make it again: stepfold connect"):
        load_connections(tmp_path)
    lost.unlink()
    with pytest.raises(ConnectionRefused, match=r"shop\.json: No such file"):
        load_connections(tmp_path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('server = "http://shop.example"', "the scheme 'http' is not allowed"),
        ('server = "https://shop.example:8443"', "port 8443 is not allowed"),
        ('server = "https://10.0.0.1"', "an address that is not public: private"),
        ('[customers.acme]\nserver = "https://127.1"', "customer 'acme': 127.1"),
    ],
)
def test_a_server_that_no_request_may_reach_is_told_before_anything_is_called(
    tmp_path: Path, settings: str, says: str
) -> None:
    written(tmp_path, settings + "\n")

    with pytest.raises(ConnectionRefused) as refused:
        load_connections(tmp_path)

    assert says in str(refused.value)


def test_a_variable_that_nobody_says_is_told_before_anything_is_called(tmp_path: Path) -> None:
    servers = [{"url": "https://{tenant}.shop.example", "variables": {"tenant": {}}}]
    written(tmp_path, "reads = []\n", servers=servers)

    with pytest.raises(ConnectionRefused, match=r"nobody says what \{tenant\} is"):
        load_connections(tmp_path)


@pytest.mark.parametrize("value", ["a/b", "evil.example#", "x@y", "", "-", "a:1", "a?b"])
def test_a_variable_cannot_lead_to_another_host(tmp_path: Path, value: str) -> None:
    servers = [{"url": "https://{tenant}.shop.example"}]
    written(tmp_path, f"variables = {{ tenant = {json.dumps(value)} }}\n", servers=servers)

    with pytest.raises(ConnectionRefused, match="tenant"):
        load_connections(tmp_path)


def test_a_variable_has_one_of_the_values_that_are_described(tmp_path: Path) -> None:
    variable = {"enum": ["eu", "us"], "default": "eu"}
    servers = [{"url": "https://{region}.shop.example", "variables": {"region": variable}}]
    written(tmp_path, 'variables = { region = "asia" }\n', servers=servers)

    with pytest.raises(ConnectionRefused, match=r"region = 'asia' \(known: eu, us\)"):
        load_connections(tmp_path)


def test_the_file_on_the_page_is_one() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    keys = re.findall(
        r"^\| (`[^|]*`) \|", PAGE.read_text().split("| key | says |")[1], re.MULTILINE
    )

    made = parse_connection(shown, "zendesk.toml")

    assert made.customers["umbrella"].variables == {"subdomain": "umbrella-help"}
    assert set(re.findall(r"`(\w+)`", " ".join(keys))) == {*Connection.__struct_fields__} - {
        "oauth"
    }


# -- customers ----------------------------------------------------------------------------------


async def run(tools: Any, name: str, customer: str, **arguments: Any) -> Any:
    tool: Tool = next(tool for tool in tools if tool.spec.name == name)
    with calling(Caller(customer)):
        return await tool.run(arguments, call="c1")


async def test_each_customer_has_a_server_and_a_secret_of_its_own(tmp_path: Path) -> None:
    def echo(asked: Any) -> Answer:
        return Answer(200, {"saw": asked.headers.get("authorization", "").split()[0]})

    with answering(echo) as acme, answering(echo) as umbrella:
        written(
            tmp_path,
            'reads = ["ListThings"]\n'
            f'[reach]\nprivate = ["127.0.0.1:{acme.port}", "127.0.0.1:{umbrella.port}"]\n'
            f'[customers.acme]\nserver = "{acme.url}/v1"\n'
            'auth = { kind = "bearer", token = "${env:ACME}" }\n'
            f'[customers.umbrella]\nserver = "{umbrella.url}"\n'
            'auth = { kind = "basic", user = "bot", password = "${env:UMBRELLA}" }\n',
        )
        tools = load_connections(tmp_path, environment={"ACME": "a-1", "UMBRELLA": "u-1"})

        await run(tools, "shop_ListThings", "acme")
        await run(tools, "shop_ListThings", "umbrella")

        alone = load_connections(tmp_path, environment={"ACME": "a-1"})
        with pytest.raises(ToolError, match="the variable UMBRELLA is not set"):
            await run(alone, "shop_ListThings", "umbrella")
        acme.asked.clear()
        await run(alone, "shop_ListThings", "acme")

    assert [(a.target, a.headers["authorization"]) for a in acme.asked] == [
        ("/v1/things", "Bearer a-1")
    ]
    assert [a.headers["authorization"] for a in umbrella.asked] == ["Basic Ym90OnUtMQ=="]


async def test_a_customer_for_whom_nothing_is_set_up_goes_nowhere(tmp_path: Path) -> None:
    servers = [{"url": "https://{tenant}.shop.example"}]
    written(
        tmp_path,
        'reads = ["ListThings"]\n[customers.acme]\nvariables = { tenant = "acme" }\n',
        servers=servers,
    )
    tools = load_connections(tmp_path, environment={})

    with pytest.raises(ToolError, match="'shop' is not set up for customer 'other'"):
        await run(tools, "shop_ListThings", "other")


async def test_a_key_in_the_query_is_sent_and_never_told(tmp_path: Path) -> None:
    with answering(lambda asked: Answer(403, {"url": asked.target})) as server:
        written(
            tmp_path,
            f'server = "{server.url}"\nreads = ["ListThings"]\n'
            '[auth]\nkind = "query"\nname = "api_key"\nvalue = "${env:KEY}"\n'
            f'[reach]\nprivate = ["127.0.0.1:{server.port}"]\n',
        )
        tools = load_connections(tmp_path, environment={"KEY": "very-secret"})
        with pytest.raises(ToolError) as refused:
            await run(tools, "shop_ListThings", "acme")

    assert server.asked[0].target == "/things?api_key=very-secret"
    assert "very-secret" not in str(refused.value)


async def test_tokens_of_oauth_come_from_whoever_keeps_them(tmp_path: Path) -> None:
    class Kept:
        async def headers(self, customer: str) -> dict[str, str]:
            return {"Authorization": f"Bearer of-{customer}"}

    def oauth(path: Path) -> Credentials:
        assert path.name == "shop.toml"
        return Kept()

    with answering(lambda asked: Answer(200, {})) as server:
        written(
            tmp_path,
            f'server = "{server.url}"\nreads = ["ListThings"]\n'
            '[auth]\nkind = "oauth2_code"\nclient_id = "x"\n'
            f'[reach]\nprivate = ["127.0.0.1:{server.port}"]\n',
        )
        await run(load_connections(tmp_path, oauth=oauth), "shop_ListThings", "acme")

    assert server.asked[0].headers["authorization"] == "Bearer of-acme"


async def test_static_headers_never_show_their_values() -> None:
    credentials = StaticHeaders({"X-Key": "${env:K}"}, {"K": "secret"})

    assert "secret" not in repr(credentials)
    assert await credentials.headers("acme") == {"X-Key": "secret"}
