"""How arguments become a request: path, query, headers, body. Pure.

Every value is encoded for its place, so that none can leave it: no value begins another segment, a
query, or a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from stepfold.tools.openapi.brief import compact
from stepfold.tools.openapi.operation import Argument, Operation
from stepfold.tools.tool import ToolError

Arguments = Mapping[str, Any]
_HEADER = re.compile(r"[\x20-\x7e]*")
_PIECE = re.compile(r"\{([^{}]*)\}|[^{}]+")
_IN_PATHS = "/?!$&'()*+,;=:@%~"
_SEPARATORS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}


class Encoded(Struct, frozen=True):
    """`target` is path and query, below the URL of the server."""

    target: str
    headers: dict[str, str]
    content: bytes | None = None


def encode(operation: Operation, arguments: Arguments) -> Encoded:
    """ToolError: a value cannot stand where it should."""
    given = [
        (argument, arguments[argument.name])
        for argument in operation.arguments
        if arguments.get(argument.name) is not None
    ]
    headers = {
        each.parameter: _header(each, value) for each, value in given if each.where == "header"
    }
    cookies = [
        pair for each, value in given if each.where == "cookie" for pair in _pairs(each, value)
    ]
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    content = None
    if operation.body is not None and operation.body.argument in arguments:
        content = _content(operation, arguments[operation.body.argument])
        headers["Content-Type"] = operation.body.media
    query = [pair for each, value in given if each.where == "query" for pair in _pairs(each, value)]
    path = _path(operation, given)
    joint = "&" if "?" in path else "?"
    return Encoded(f"{path}{joint}{'&'.join(query)}" if query else path, headers, content)


# -- the path -----------------------------------------------------------------------------------


def _path(operation: Operation, given: Iterable[tuple[Argument, Any]]) -> str:
    values = {
        each.parameter: _segment(each, value) for each, value in given if each.where == "path"
    }

    def told(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return quote(found[0], safe=_IN_PATHS)
        if name not in values:
            raise ToolError(f"{operation.name}: {{{name}}} of its path is not given")
        return values[name]

    return _PIECE.sub(told, operation.path)


def _segment(argument: Argument, value: Any) -> str:
    if argument.json:
        return _quoted(compact(value))
    parts = _parts(value, explode=argument.explode)
    texts = [word for part in parts for word in part]
    if not "".join(texts):
        raise ToolError(f"{argument.name}: empty, and it is part of the path")
    if any(piece in (".", "..") for text in texts for piece in re.split(r"[/\\]", text)):
        raise ToolError(f"{argument.name}: . and .. lead elsewhere: give a name or an id")
    name = _quoted(argument.parameter)
    told = ["=".join(map(_quoted, part)) for part in parts]
    match argument.style:
        case "label":
            return "." + ("." if argument.explode else ",").join(told)
        case "matrix" if argument.explode and not isinstance(value, dict):
            return "".join(f";{name}={text}" for text in told)
        case "matrix" if argument.explode:
            return "".join(f";{text}" for text in told)
        case "matrix":
            return f";{name}={','.join(told)}"
        case _:
            return ",".join(told)


# -- query, cookies and headers -----------------------------------------------------------------


def _pairs(argument: Argument, value: Any) -> Iterator[str]:
    """`name=value`, encoded."""
    name = _quoted(argument.parameter)
    if argument.json:
        yield f"{name}={_quoted(compact(value))}"
    elif argument.style == "deepObject" and isinstance(value, dict):
        yield from _deep(argument.parameter, value)
    elif argument.explode and isinstance(value, dict | list):
        for part in _parts(value, explode=True):
            yield "=".join(map(_quoted, part if isinstance(value, dict) else (name, *part)))
    else:
        parts = _parts(value, explode=False)
        separator = _SEPARATORS.get(argument.style, ",")
        yield f"{name}={separator.join(_quoted(word) for part in parts for word in part)}"


def _deep(name: str, value: Any) -> Iterator[str]:
    """`name[key]=value`, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _deep(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _deep(f"{name}[]" if isinstance(inner, dict) else name, inner)
    elif value is not None:
        yield f"{_quoted(name)}={_quoted(_text(value))}"


def _header(argument: Argument, value: Any) -> str:
    if argument.json:
        told = compact(value)
    else:
        told = ",".join("=".join(part) for part in _parts(value, explode=argument.explode))
    if not _HEADER.fullmatch(told):
        raise ToolError(f"{argument.name}: a header holds printable ASCII only, in one line")
    return told


def _parts(value: Any, *, explode: bool) -> Sequence[tuple[str, ...]]:
    """A list's entries, an object's keys with values (together with `explode`), or the value."""
    if isinstance(value, list):
        return [(_text(each),) for each in value]
    if isinstance(value, dict) and explode:
        return [(key, _text(each)) for key, each in value.items()]
    if isinstance(value, dict):
        return [(word,) for key, each in value.items() for word in (key, _text(each))]
    return [(_text(value),)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else compact(value)


def _quoted(text: str) -> str:
    return quote(text, safe="")


# -- the body -----------------------------------------------------------------------------------


def _content(operation: Operation, value: Any) -> bytes:
    assert operation.body is not None
    if not operation.body.form:
        return compact(value).encode()
    if not isinstance(value, dict):
        raise ToolError(f"{operation.body.argument}: the fields of a form are an object")
    pairs: list[str] = []
    for name, each in value.items():
        style = "deepObject" if name in operation.body.deep else "form"
        flat = not isinstance(each, dict) or style == "deepObject"
        field = Argument(name, name, "query", style, explode=True, json=not flat)
        pairs += _pairs(field, each)
    return "&".join(pairs).encode()
