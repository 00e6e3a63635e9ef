"""A file that is no usable description says exactly what is wrong; a bomb does not go off."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from stepfold.tools.openapi import DescriptionRefused, parse_description, read_description
from stepfold.tools.openapi import reading as reading_module
from tests.connections.small import described, read

HEAD = b"openapi: 3.0.3\ninfo: {title: T, version: '1'}\n"
GET = b"paths: {/a: {get: {operationId: a}}}\n"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "it is empty, not an OpenAPI description"),
        (b"[]", "it is a list"),
        (b"just words", "it is a text"),
        (b"\xff\xfe", "byte 0 is no UTF-8"),
        (b'{"openapi": "3.0.3",}', "line 1, column 21: no JSON"),
        (b'{"openapi": NaN}', "NaN is no number of JSON"),
        (b"a: [1, 2\nb: 3\n", "line 2, column 2: no YAML"),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1: no YAML: but found another document"),
        (b"? [a, b]\n: 1\n", "line 1: a key is a list or a mapping"),
        (b"a: &a [*a]\n", "line 1: an alias holds itself"),
        (b"a: !!python/object/apply:os.system [ls]\n", "no OpenAPI description"),
        (b"swagger: '2.0'\n", "Swagger 2.0 is not supported, OpenAPI 3.0 and 3.1 are: convert it"),
        (b"openapi: 4.0.0\npaths: {}\n", "OpenAPI 4.0.0 is not supported (known: 3.0, 3.1)"),
        (b"info: {}\n", "`openapi: 3.0.3` or the like is missing"),
        (b"asyncapi: 3.0.0\n", "no OpenAPI description: this is asyncapi"),
        (HEAD, "#/paths is missing or empty"),
        (HEAD + b"paths: []\n", "#/paths is no mapping of paths"),
        (HEAD + b"webhooks: {a: {}}\n", "it describes webhooks only, which call you"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_description_is_refused_and_says_why(raw: bytes, says: str) -> None:
    with pytest.raises(DescriptionRefused) as refused:
        parse_description(raw)

    assert says in str(refused.value)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": ' * 100_000,
        b"[" * 100_000,
        b"a: " + b"[" * 900 + b"]" * 900,
        b"- " * 50_000,
        b"{" + b"? {" * 5_000,
    ],
    ids=["json", "open", "flow", "block", "keys"],
)
def test_depth_is_refused(raw: bytes) -> None:
    with pytest.raises(DescriptionRefused):
        parse_description(raw)


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    begin = time.monotonic()

    with pytest.raises(DescriptionRefused, match="aliases unfold to more than"):
        parse_description("\n".join(lines).encode())

    assert time.monotonic() - begin < 2


def test_a_bomb_of_merges_is_refused() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 30)]

    with pytest.raises(DescriptionRefused, match="aliases unfold"):
        parse_description("\n".join(lines).encode())


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(reading_module.BYTES_MAX + 1)

    with pytest.raises(DescriptionRefused, match=r"huge\.yaml: larger than 30,000,000 bytes"):
        read_description(huge)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DescriptionRefused, match=r"none\.yaml: No such file"):
        read_description(tmp_path / "none.yaml")


def test_yaml_is_read_by_its_core_rules_only() -> None:
    raw = HEAD + b"a: [no, =, 2024-01-01, 0x10, 0o17, 1e3, ~, true, '1', 12:30, .inf]\n" + GET

    description = parse_description(raw)

    told = ["no", "=", "2024-01-01", 16, 15, 1000.0, None, True, "1", "12:30", ".inf"]
    assert description.document["a"] == told


def test_merged_mappings_keep_what_is_written_beside_them() -> None:
    raw = HEAD + b"x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n" + GET

    assert parse_description(raw).document["y"] == {"a": 1, "b": 3}


def test_a_key_that_stands_twice_is_found_with_its_line() -> None:
    raw = HEAD + b"paths:\n  /a: {get: {operationId: first}}\n  /a: {get: {operationId: second}}\n"

    made, findings = read(raw)

    assert made.names() == ("second",)
    assert ("line 5", "'/a' stands twice", "the last one counts") in [
        (each.place, each.broken, each.done) for each in findings
    ]


def test_a_key_that_stands_twice_in_json_is_found() -> None:
    raw = json.dumps(described({"/a": {"get": {}}})).replace('"info"', '"openapi": "3.0.1", "info"')

    _, findings = read(raw.encode())

    assert "'openapi' stands twice" in [each.broken for each in findings]


def test_a_version_that_is_not_known_yet_is_read_as_the_last_one() -> None:
    _, findings = read(described({"/a": {"get": {"operationId": "a"}}}, openapi="3.2.0"))

    assert [(each.place, each.done) for each in findings] == [("#/openapi", "read as 3.1")]


def test_half_a_character_that_an_escape_spells_is_replaced() -> None:
    raw = json.dumps(described({"/a": {"get": {"summary": "half \ud83d of it"}}})).encode()

    made, _ = read(raw)

    made.operations[0].description.encode()
