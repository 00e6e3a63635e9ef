"""Arguments become a request as the description says, and none leaves its place."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.tools.openapi.encoding import encode
from stepfold.tools.tool import ToolError
from tests.connections.small import one

LIST = ["blue", "black"]
MAP = {"R": 100, "G": "a b"}


def target(where: str, value: Any, path: str = "/x", **how: Any) -> str:
    parameter = {"name": "c", "in": where, "schema": {}, "required": True, **how}
    return encode(one({"parameters": [parameter]}, path=path), {"c": value}).target


@pytest.mark.parametrize(
    ("how", "value", "sent"),
    [
        ({}, "a b&c=d", "/x?c=a%20b%26c%3Dd"),
        ({}, True, "/x?c=true"),
        ({}, 1.5, "/x?c=1.5"),
        ({}, None, "/x"),
        ({}, LIST, "/x?c=blue&c=black"),
        ({"explode": False}, LIST, "/x?c=blue,black"),
        ({"explode": False}, ["a,b"], "/x?c=a%2Cb"),
        ({"style": "spaceDelimited", "explode": False}, LIST, "/x?c=blue%20black"),
        ({"style": "pipeDelimited", "explode": False}, LIST, "/x?c=blue%7Cblack"),
        ({}, MAP, "/x?R=100&G=a%20b"),
        ({"explode": False}, MAP, "/x?c=R,100,G,a%20b"),
        ({"style": "deepObject"}, {"R": {"x": [1, 2]}}, "/x?c%5BR%5D%5Bx%5D=1&c%5BR%5D%5Bx%5D=2"),
        ({"schema": None, "content": {"application/json": {}}}, {"a": 1}, "/x?c=%7B%22a%22%3A1%7D"),
    ],
)
def test_styles_of_the_query(how: dict[str, Any], value: Any, sent: str) -> None:
    assert target("query", value, **how) == sent


@pytest.mark.parametrize(
    ("how", "value", "sent"),
    [
        ({}, "a/b?c", "/x/a%2Fb%3Fc"),
        ({}, LIST, "/x/blue,black"),
        ({}, MAP, "/x/R,100,G,a%20b"),
        ({"explode": True}, MAP, "/x/R=100,G=a%20b"),
        ({"style": "label"}, LIST, "/x/.blue,black"),
        ({"style": "label", "explode": True}, LIST, "/x/.blue.black"),
        ({"style": "matrix"}, LIST, "/x/;c=blue,black"),
        ({"style": "matrix", "explode": True}, LIST, "/x/;c=blue;c=black"),
        ({"style": "matrix", "explode": True}, MAP, "/x/;R=100;G=a%20b"),
    ],
)
def test_styles_of_the_path(how: dict[str, Any], value: Any, sent: str) -> None:
    assert target("path", value, path="/x/{c}", **how) == sent


@pytest.mark.parametrize("value", ["", "..", ".", "a/../b", "..\\..", "a/.."])
def test_a_value_cannot_lead_to_another_path(value: str) -> None:
    with pytest.raises(ToolError, match="c: "):
        target("path", value, path="/x/{c}/y")


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_whatever_a_value_is_it_stays_in_its_place(value: str) -> None:
    told = {"parameters": [param("a", "path"), param("b", "query")]}
    operation = one(told, path="/x/{a}/y")

    try:
        sent = urlsplit("https://h" + encode(operation, {"a": value, "b": value}).target)
    except ToolError:
        assert {".", ".."} & set(value.replace("\\", "/").split("/"))
        return

    before, inner, after = sent.path[1:].split("/")
    assert (before, unquote(inner), after) == ("x", value, "y")
    assert parse_qsl(sent.query, keep_blank_values=True) == [("b", value)]


def param(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": True, "schema": {"type": "string"}}


def test_what_a_path_says_of_itself_is_encoded_once() -> None:
    operation = one({"parameters": [param("user id", "path")]}, path="/ä b/%20/{user id}:go")

    assert encode(operation, {"user_id": "{x}"}).target == "/%C3%A4%20b/%20/%7Bx%7D:go"


def test_a_query_that_stands_in_the_path_is_kept() -> None:
    operation = one({"parameters": [param("a", "query")]}, path="/x?beta=true")

    assert encode(operation, {"a": "1"}).target == "/x?beta=true&a=1"


def test_headers_and_cookies() -> None:
    told = [param("X-A", "header"), param("c", "cookie"), param("d", "cookie")]

    sent = encode(one({"parameters": told}), {"X-A": [1, 2], "c": "a;b", "d": 1})

    assert sent.headers == {"X-A": "1,2", "Cookie": "c=a%3Bb; d=1"}


@pytest.mark.parametrize("value", ["a\r\nX-B: 1", "ü", "\x00"])
def test_a_value_cannot_begin_another_header(value: str) -> None:
    with pytest.raises(ToolError, match="X-A: a header holds printable ASCII"):
        encode(one({"parameters": [param("X-A", "header")]}), {"X-A": value})


def test_a_body_is_json_or_a_form() -> None:
    def body(media: str, **more: Any) -> Any:
        kind = {"schema": {"type": "object"}, **more}
        return one({"requestBody": {"content": {media: kind}}}, method="post")

    value = {"a": [1, 2], "b": {"c": "ä"}, "d": {"e": True}}
    encoding = {"d": {"style": "deepObject"}}

    as_json = encode(body("application/json"), {"body": value})
    as_form = encode(body("application/x-www-form-urlencoded", encoding=encoding), {"body": value})

    assert as_json.content == '{"a":[1,2],"b":{"c":"ä"},"d":{"e":true}}'.encode()
    assert as_json.headers == {"Content-Type": "application/json"}
    assert as_form.content == b"a=1&a=2&b=%7B%22c%22%3A%22%C3%A4%22%7D&d%5Be%5D=true"
    assert as_form.headers == {"Content-Type": "application/x-www-form-urlencoded"}


def test_a_body_that_is_not_given_is_not_sent() -> None:
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}

    assert encode(one({"requestBody": body}, method="post"), {}).content is None
