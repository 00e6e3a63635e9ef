"""JSON Schemas: what does not fit and where, and which schemas are none."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stepfold.policy.schema import REASONS_MAX, broken, mismatch

PERSON = {
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/name"}, "friends": {"items": {"$ref": "#"}}},
    "$defs": {"name": {"type": "string"}},
}


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """The address of a schema on a server, and what was fetched there."""
    fetched: list[str] = []

    class Schemas(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

        def log_message(self, format: str, *args: Any) -> None:
            """Not told."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Schemas)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/name", fetched
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_place_of_what_does_not_fit_is_told() -> None:
    value = {"name": "Ada", "friends": [{"name": "Bo"}, {"name": 7}]}

    assert mismatch(value, PERSON) == "friends.1.name: 7 is not of type 'string'"


def test_not_more_than_some_reasons_are_told() -> None:
    why = mismatch([1] * 100, {"items": {"type": "string"}})

    assert why is not None
    assert len(why.split("; ")) == REASONS_MAX


@pytest.mark.parametrize(
    "schema", [{}, PERSON, {"const": {"$ref": "x"}}, {"properties": {"$ref": {}}}]
)
def test_a_schema_may_refer_to_its_parts_and_to_itself(schema: Any) -> None:
    assert broken(schema) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (7, "7 is not of type 'object'"),
        ({"type": "objekt"}, "type: 'objekt' is not valid"),
        ({"properties": {"a": {"pattern": "("}}}, "properties.a.pattern: '(' is not a 'regex'"),
        ({"$ref": "#"}, "without an end"),
        ({"items": [{"$ref": "#/nope"}]}, "items: "),
        ({"anyOf": [{}, {"$ref": "#/nope"}]}, "'#/nope' is not in it"),
        ({"$ref": "file:///etc/passwd"}, "'file:///etc/passwd' is not in it"),
    ],
)
def test_a_schema_that_is_none_says_why(schema: Any, why: str) -> None:
    told = broken(schema)

    assert told is not None
    assert why in told


@pytest.mark.parametrize("word", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("id", ["", "part"])
def test_nothing_is_ever_fetched(elsewhere: tuple[str, list[str]], word: str, id: str) -> None:
    url, fetched = elsewhere
    part = {word: url, "$id": id} if id else {word: url}

    why = mismatch({"name": "Ada"}, {"properties": {"name": part}})

    assert why is not None
    assert why.startswith(f"the schema itself is wrong: {url!r} is not in it")
    assert fetched == []
