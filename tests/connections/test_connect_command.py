"""`stepfold connect`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from stepfold.cli import exits
from stepfold.cli.connect import connect, connections
from stepfold.cli.exits import CommandRefused
from stepfold.tools.openapi import ConnectionRefused, DescriptionRefused, load_connections
from stepfold.tools.openapi.connection import read_connection
from tests.connections.small import described

PATHS: dict[str, Any] = {
    "/things": {
        "get": {"operationId": "ListThings", "summary": "List the things that there are"},
        "post": {"operationId": "AddThing"},
    },
    "/things/{id}": {"get": {"operationId": "ShowThing", "deprecated": True}},
    "/things/search": {"post": {"operationId": "SearchThings"}},
    "/files": {
        "post": {
            "operationId": "Upload",
            "requestBody": {"content": {"multipart/form-data": {"schema": {}}}},
        }
    },
}
KEY = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps(described(PATHS, components={"securitySchemes": KEY})))
    return path


def run(*words: str | Path, data: Path, columns: int = 100) -> Result:
    return command(connect, *words, data=data, columns=columns)


def command(
    function: Callable[..., None], *words: str | Path, data: Path, columns: int = 100
) -> Result:
    app = typer.Typer()
    app.command()(function)
    environ = {"COLUMNS": str(columns), "NO_COLOR": "1", "STEPFOLD_DATA_DIR": str(data)}
    return CliRunner().invoke(app, [str(word) for word in words], env=environ)


def test_a_dry_run_tells_everything_and_writes_nothing(spec: Path, tmp_path: Path) -> None:
    told = run(
        *("shop", "--spec", spec, "--read", "List*", "--write", "AddThing"),
        *("--dry-run", "--json"),
        data=tmp_path,
    )

    assert told.exit_code == 0, told.exception
    said = json.loads(told.stdout)
    assert [(each["name"], each["effect"], each["enabled"]) for each in said["operations"]] == [
        ("ListThings", "read", True),
        ("AddThing", "write", True),
        ("ShowThing", "read", False),
        ("SearchThings", "write", False),
    ]
    assert said["reads"] == ["ListThings"]
    assert said["writes"] == ["AddThing"]
    assert said["skipped"][0]["name"] == "Upload"
    assert said["operations"][3]["doubt"].startswith("a POST that looks like a search")
    assert {each["broken"] for each in said["lint"]} == {
        "no body is described",
        "{id} is not described",
    }
    assert said["tokens"]["all"] > said["tokens"]["enabled"] > 0
    assert said["written"] is False
    assert not (tmp_path / "connections").exists()


def test_in_words_it_is_the_same_and_fits_a_narrow_terminal(spec: Path, tmp_path: Path) -> None:
    words = ("shop", "--spec", spec, "--read", "ListThings", "--dry-run")

    told = run(*words, data=tmp_path, columns=50)

    assert max(map(len, told.stdout.splitlines())) <= 50
    flat = " ".join(told.stdout.split())
    assert "Shop 1: 2 reads, 2 writes" in flat
    assert "+ read ListThings, " in flat
    assert "skipped Upload: its body is multipart/form-data" in flat
    assert "security key: apiKey X-Key" in flat
    assert "(estimated: 4 characters a token)" in flat
    assert "still open: the server wants to know who asks (apiKey)" in flat
    assert flat.endswith("nothing was written")


def test_what_is_written_loads_and_nothing_secret_is_in_it(spec: Path, tmp_path: Path) -> None:
    told = run(
        *("shop", "--spec", spec, "--read", "List*", "--write", "AddThing"),
        *("--server", "https://{tenant}.example/v1/", "--variable", "tenant=acme"),
        *("--auth", "header:X-Key:SHOP_KEY", "--private", "10.0.0.7:8443"),
        *("--key-header", "Idempotency-Key"),
        data=tmp_path,
    )

    assert told.exit_code == 0, told.exception
    assert (tmp_path / "connections" / "shop.toml").read_text() == (
        'server = "https://{tenant}.example/v1"\n'
        'reads = ["List*"]\n'
        'writes = ["AddThing"]\n'
        'key_header = "Idempotency-Key"\n'
        '\n[variables]\ntenant = "acme"\n'
        '\n[auth]\nkind = "header"\nname = "X-Key"\nvalue = "${env:SHOP_KEY}"\n'
        '\n[reach]\nprivate = ["10.0.0.7:8443"]\n'
    )
    names = [tool.spec.name for tool in load_connections(tmp_path / "connections")]
    assert names == ["shop_ListThings", "shop_AddThing", "shop_find_tool", "shop_use_tool"]


def test_a_connection_that_is_there_is_overwritten_only_when_told(
    spec: Path, tmp_path: Path
) -> None:
    words = ("shop", "--spec", spec, "--read", "List*")
    assert run(*words, data=tmp_path).exit_code == 0

    again = run(*words, data=tmp_path)

    assert isinstance(again.exception, CommandRefused)
    assert "is there already: edit it, or overwrite it with --replace" in str(again.exception)
    assert run(*words, "--replace", data=tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--read", "Lst*"), "read 'Lst*': no such operation"),
        (("--write", "Upload"), "that operation is skipped: its body is multipart/form-data"),
        (("--write", "ListThings"), "it is a read"),
        (("--auth", "bearer"), "--auth 'bearer' (known: bearer:VAR"),
        (("--auth", "oauth2"), "write its [auth] in the connection's file"),
        (("--server", "ftp://x"), "write https://host/path"),
        (("--auth", "header:X Key:VAR"), "'X Key' is no name of a header"),
    ],
)
def test_what_means_nothing_is_refused_and_nothing_is_written(
    spec: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    told = run("shop", "--spec", spec, *words, data=tmp_path)

    assert isinstance(told.exception, ConnectionRefused)
    assert says in str(told.exception)
    assert list((tmp_path / "connections").glob("*")) == []


def test_a_name_that_no_tool_may_begin_with_is_refused(spec: Path, tmp_path: Path) -> None:
    told = run("Shop!", "--spec", spec, data=tmp_path)

    assert told.exit_code == 2
    assert "at most 15 small letters" in " ".join(told.output.replace("│", " ").split())


def test_a_description_of_which_nothing_can_be_called_says_why(tmp_path: Path) -> None:
    spec = tmp_path / "files.json"
    spec.write_text(json.dumps(described({"/files": PATHS["/files"]})))

    told = run("files", "--spec", spec, data=tmp_path)

    assert isinstance(told.exception, ConnectionRefused)
    assert told.exception.problems[0] == "no operation can be called"
    assert "Upload: its body is multipart/form-data" in told.exception.problems[1]


def test_a_file_that_is_no_description_is_named(tmp_path: Path) -> None:
    spec = tmp_path / "old.yaml"
    spec.write_text("swagger: '2.0'\n")

    told = run("old", "--spec", spec, data=tmp_path)

    assert isinstance(told.exception, DescriptionRefused)
    assert str(told.exception).startswith(f"{spec}: Swagger 2.0 is not supported")


def test_the_connections_are_listed(spec: Path, tmp_path: Path) -> None:
    assert "no connection yet" in command(connections, data=tmp_path).stdout
    run("shop", "--spec", spec, "--read", "List*", "--write", "AddThing", data=tmp_path)

    table = command(connections, data=tmp_path)
    told = command(connections, "--json", data=tmp_path)

    assert ["shop", "Shop", *"4114"] in [line.split() for line in table.stdout.splitlines()]
    assert json.loads(told.stdout) == [
        {
            "name": "shop",
            "title": "Shop",
            "counts": [4, 1, 1],
            "reads": ["ListThings"],
            "writes": ["AddThing"],
            "tools": [
                {"name": "shop_ListThings", "effect": "read"},
                {"name": "shop_AddThing", "effect": "write"},
                {"name": "shop_find_tool", "effect": "read"},
                {"name": "shop_use_tool", "effect": "read"},
            ],
            "customers": [],
            "problems": [],
        }
    ]


def test_the_tools_of_connections_are_listed_by_name(spec: Path, tmp_path: Path) -> None:
    run("shop", "--spec", spec, "--write", "AddThing", data=tmp_path)

    said = command(connections, "--tools", data=tmp_path).stdout

    assert said.splitlines()[-1].split() == ["shop", "shop_AddThing", "write"]


def test_a_file_that_is_none_keeps_the_others_in_the_list(spec: Path, tmp_path: Path) -> None:
    run("shop", "--spec", spec, "--read", "List*", data=tmp_path)
    folder = tmp_path / "connections"
    (folder / "bad.toml").write_text("raeds = []\n")
    (folder / "old.toml").write_text('reads = ["Gone"]\n')
    (folder / "old.json").write_bytes((folder / "shop.json").read_bytes())

    told = command(connections, "--json", data=tmp_path)

    assert told.exit_code == exits.REFUSED
    assert [(each["name"], len(each["tools"])) for each in json.loads(told.stdout)] == [
        ("old", 0),
        ("shop", 3),
    ]
    assert f"{folder / 'bad.toml'}:1: unknown key `raeds`" in told.stderr
    assert f"{folder / 'old.toml'}: read 'Gone': no such operation" in told.stderr


# -- made again ---------------------------------------------------------------------------------

BEFORE = """\
# by hand
server = "https://shop.example/v1"
reads = ["List*"]
writes = ["AddThing"]

[variables]
tenant = "acme"
zone = "eu"

[auth]
kind = "bearer"
token = "${env:SHOP_TOKEN}"

[reach]
timeout_s = 20.0

[customers.umbrella]
headers = { "X Y" = "z" }

[customers.umbrella.auth]
kind = "bearer"
token = "${env:UMBRELLA_TOKEN}"
""".replace("X Y", "X-Y")


@pytest.fixture
def before(spec: Path, tmp_path: Path) -> Path:
    """A connection whose file somebody has edited."""
    run("shop", "--spec", spec, data=tmp_path)
    path = tmp_path / "connections" / "shop.toml"
    path.write_text(BEFORE)
    return path


def test_made_again_what_is_not_named_stays_as_it_is(
    spec: Path, before: Path, tmp_path: Path
) -> None:
    told = run("shop", "--spec", spec, "--replace", data=tmp_path)

    assert told.exit_code == 0, told.exception
    assert before.read_text() == BEFORE
    flat = " ".join(told.stdout.split())
    assert (
        "kept as it was in the file: server, reads, writes, variables, auth, reach, customers"
        in flat
    )


def test_made_again_what_is_named_is_another(spec: Path, before: Path, tmp_path: Path) -> None:
    words = ("--replace", "--read", "ShowThing", "--auth", "header:X-Key:SHOP_KEY", "--json")

    more = ("--variable", "tenant=umbrella", "--private", "10.0.0.7:8443")
    told = run("shop", "--spec", spec, *words, *more, data=tmp_path)

    assert told.exit_code == 0, told.exception
    was, now = tomllib.loads(BEFORE), tomllib.loads(before.read_text())
    assert now == {
        **was,
        "reads": ["ShowThing"],
        "auth": {"kind": "header", "name": "X-Key", "value": "${env:SHOP_KEY}"},
        "variables": {"tenant": "umbrella", "zone": "eu"},
        "reach": {"timeout_s": 20.0, "private": ["10.0.0.7:8443"]},
    }
    assert json.loads(told.stdout)["kept"] == ["server", "writes", "customers"]
    read_connection(before)


def test_a_file_of_oauth_stays_one(spec: Path, before: Path, tmp_path: Path) -> None:
    table = '[auth]\nkind = "oauth2_code"\nclient_id = "c"\nshared = true\n'
    more = '[auth.authorize_with]\naccess_type = "offline"\n'
    before.write_text(f'reads = ["List*"]\n{table}{more}')

    told = run("shop", "--spec", spec, "--replace", "--write", "AddThing", data=tmp_path)

    now = tomllib.loads(before.read_text())
    assert told.exit_code == 0, told.exception
    assert (now["reads"], now["writes"]) == (["List*"], ["AddThing"])
    assert now["auth"] == tomllib.loads(table + more)["auth"]
    assert "who asks" not in told.stdout


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"reads = [\n", "shop.toml: Invalid value"),
        (b"\nraeds = []\n", "shop.toml:2: unknown key `raeds`"),
        (b"\xff\xfe", "it is not UTF-8"),
    ],
)
def test_a_file_that_means_nothing_is_not_overwritten(
    spec: Path, before: Path, tmp_path: Path, raw: bytes, why: str
) -> None:
    before.write_bytes(raw)

    told = run("shop", "--spec", spec, "--replace", data=tmp_path)

    assert isinstance(told.exception, ConnectionRefused | CommandRefused)
    assert why in str(told.exception)
    assert "or remove it" in str(told.exception)
    assert before.read_bytes() == raw


# -- said of it ---------------------------------------------------------------------------------


def test_a_variable_that_is_not_set_is_told(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_USER", "ada")
    monkeypatch.delenv("SHOP_WORD", raising=False)

    told = run("shop", "--spec", spec, "--auth", "basic:SHOP_USER:SHOP_WORD", data=tmp_path)

    assert "still open: the variable SHOP_WORD is not set here" in " ".join(told.stdout.split())
    assert "SHOP_USER is not set" not in told.stdout


def test_once_it_is_written_only_what_is_enabled_is_listed(spec: Path, tmp_path: Path) -> None:
    said = run("shop", "--spec", spec, "--read", "List*", data=tmp_path).stdout

    assert "ListThings" in said
    assert all(name not in said for name in ("AddThing", "ShowThing", "SearchThings", "Upload"))
    assert "1 operation cannot be called: --dry-run says why" in said
