"""Servers of MCP that run in processes of their own, and files that describe them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stepfold.tools.mcp_file import Described, parse_mcp
from stepfold.tools.tool import Tool

HERE = Path(__file__).parent
SHOP = HERE / "shop_server.py"
WICKED = HERE / "wicked_server.py"
LIMIT_S = 30.0


def described(**keys: Any) -> Described:
    """A server of the name `s`, as a file would describe it."""
    tables = {name: value for name, value in keys.items() if isinstance(value, dict)}
    text = "[servers.s]\n" + "".join(
        f"{name} = {_toml(value)}\n" for name, value in keys.items() if name not in tables
    )
    for name, table in tables.items():
        text += f"{name} = {_toml(table)}\n"
    (server,) = parse_mcp(text, "servers.toml")
    return server


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f'"{key}" = {_toml(each)}' for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}'"
        case _:
            return str(value)


def python(script: Path, *words: str | Path, **keys: Any) -> Described:
    """A Python script as a server over stdin and stdout, all of whose tools are used."""
    args = [str(script), *map(str, words)]
    return described(**{"command": sys.executable, "args": args, "tools": ["*"], **keys})


@contextmanager
def shop_over_http(ledger: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port."""
    words = [sys.executable, str(SHOP), str(ledger), "http", str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()
            process.wait(LIMIT_S)


def website(port: int, **keys: Any) -> Described:
    url = f"http://127.0.0.1:{port}/mcp"
    return described(**{"url": url, "private": ["127.0.0.0/8"], "tools": ["*"], **keys})


def by_name(tools: Any) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in tools}
