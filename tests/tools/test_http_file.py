"""An HTTP tool as a file says it: what it means, and every mistake with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepfold.tools.guard import Reach
from stepfold.tools.http_file import HttpFileRefused, parse_http, read_http
from stepfold.tools.http_plan import Plan

KEPT = {"ORDERS_KEY": "sk-live-93ab77"}
HEAD = 'name = "t"\ndescription = "d"\n'
PAGE = Path(__file__).parents[2] / "docs" / "tools.md"


def parsed(text: str) -> Plan:
    return parse_http(HEAD + text, "t.toml", KEPT)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(HttpFileRefused) as refused:
        parsed(text)
    return refused.value.problems


# -- what it means --------------------------------------------------------------------------------


def test_a_read_may_be_repeated_and_anything_else_may_not_unless_the_file_says_so() -> None:
    url = 'url = "https://x.example/a"\n'

    read = parsed(url).spec
    write = parsed(url + 'method = "POST"').spec
    search = parsed(url + 'method = "POST"\neffect = "read"').spec

    assert (read.effect, read.recovery) == ("read", "idempotent")
    assert (write.effect, write.recovery) == ("external", "never_repeat")
    assert (search.effect, search.recovery) == ("read", "idempotent")


def test_parameters_are_a_line_each() -> None:
    plan = parsed("""url = "https://x.example/{order}"
[parameters]
order = "string: The number on the invoice: AB-1"
note = "string?"
sizes = "integer[]?: In cm"
kind = { enum = ["a", "b"] }
since = { type = "string", format = "date", optional = true }
""")

    assert plan.spec.parameters == {
        "type": "object",
        "properties": {
            "order": {"type": "string", "description": "The number on the invoice: AB-1"},
            "note": {"type": "string"},
            "sizes": {"type": "array", "items": {"type": "integer"}, "description": "In cm"},
            "kind": {"enum": ["a", "b"]},
            "since": {"type": "string", "format": "date"},
        },
        "required": ["order", "kind"],
        "additionalProperties": False,
    }
    assert plan.sending.rest == ("note", "sizes", "kind", "since")


def test_parameters_are_a_schema_as_it_is_but_closed() -> None:
    plan = parsed("""url = "https://x.example/{order}"
[parameters]
type = "object"
required = ["order"]
properties = { order = { type = "string" }, "odd-name" = { type = "integer" } }
""")

    assert plan.spec.parameters["additionalProperties"] is False
    assert plan.sending.rest == ("odd-name",)


def test_a_file_widens_what_may_be_reached_and_takes_nothing_away() -> None:
    text = (
        HEAD + 'url = "https://x.example:8443/"\n[reach]\nports = [8443]\nprivate = ["10.1.0.0/16"]'
    )

    reach = parse_http(text, "t.toml", {}, Reach(private=("erp.local:80",))).reach

    assert reach.ports == (443, 8443)
    assert reach.private == ("erp.local:80", "10.1.0.0/16")
    assert reach.schemes == ("https",)


def test_the_host_may_come_from_the_environment() -> None:
    text = HEAD + 'url = "${env:BASE}/orders/{o}"\nparameters = { o = "string" }'

    plan = parse_http(text, "t.toml", {"BASE": "https://x.example/v2"})

    assert plan.sending.variables == ("BASE",)
    with pytest.raises(HttpFileRefused, match=r"t.toml:3: url: 10.0.0.1: .* private"):
        parse_http(text, "t.toml", {"BASE": "https://10.0.0.1/v2"})


@pytest.mark.parametrize("source", re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_the_examples_of_the_page_are_tools(source: str) -> None:
    variables = dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", source), "s3cret")

    plan = parse_http(source, "docs/tools.md", variables)

    assert plan.spec.description


# -- what is wrong --------------------------------------------------------------------------------

URL = 'url = "https://x.example/a"\n'
MISTAKES = {
    "no url": ("", r"1: url: it is missing: a tool has at least name, description and url"),
    "unknown key": (URL + 'metod = "GET"', r"4: metod: unknown key \(known: .*method"),
    "unknown key inside": (
        URL + "[reach]\nport = [1]",
        r"5: reach.port: unknown key .*ports",
    ),
    "method": (URL + 'method = "TRACE"', r"4: method: Input should be 'GET'"),
    "effect": (URL + 'effect = "none"', r"4: effect: Input should be 'read'"),
    "timeout": (URL + "timeout_s = 0", r"4: timeout_s: .*greater than 0"),
    "gap": (
        'url = "https://x.example/{a}"',
        r"3: url: no parameter is called 'a' \(kn",
    ),
    "gap in a header": (
        URL + '[headers]\nX = "{a}"',
        r"5: headers.X: no parameter is called",
    ),
    "gap in a body": (URL + 'method = "PUT"\n[body]\na = ["{b}"]', r"5: body: no parameter"),
    "brace": (URL + '[headers]\nX = "{"', r"4: headers: '\{' alone means nothing"),
    "brace in a body": (URL + 'method = "PUT"\n[body]\na = "}"', r"6: body.a: '\}' alone"),
    "literal secret": (
        URL + '[headers]\nAuthorization = "Bearer abc"',
        r'4: headers: no secret stands in a file: write Authorization = "\$\{env:NAME\}"',
    ),
    "header of ours": (
        URL + '[headers]\nHost = "a"',
        r"4: headers: Host is set by stepfold",
    ),
    "header of a proxy": (
        URL + '[headers]\nProxy-A = "a"',
        r"4: headers: Proxy-A is set",
    ),
    "no header": (URL + '[headers]\n"X Y" = "a"', r"4: headers: 'X Y' is no name of a"),
    "private": ('url = "https://10.0.0.1/"', r"3: url: 10.0.0.1: .*private"),
    "scheme": ('url = "http://x.example/"', r"3: url: x.example: the scheme 'http' is not"),
    "fragment": ('url = "https://x.example/#a"', r"3: url: what follows a # is never sent"),
    "network": (
        URL + '[reach]\nprivate = ["10.0.0.1/8"]',
        r"5: reach.private: .*10.0.0.0/8",
    ),
    "host without port": (
        URL + '[reach]\nprivate = ["erp"]',
        r"5: reach.private: 'erp' is",
    ),
    "parameter": (
        URL + '[parameters]\na = "strin"',
        r"5: parameters.a: write string",
    ),
    "parameter of ours": (
        URL + '[parameters]\ncall = "string"',
        r"5: parameters.call: call is",
    ),
    "schema": (URL + '[parameters]\na = { type = "strin" }', r"5: parameters.a: .*strin"),
    "whole schema": (
        URL + "[parameters]\nproperties = { a = { type = 7 } }",
        r"4: parameters: properties.a.type: 7 is not valid",
    ),
    "schema elsewhere": (
        URL + '[result]\n"$ref" = "https://x.example/s.json"',
        r"4: result: 'https://x.example/s.json' is not in it",
    ),
    "optional in the path": (
        'url = "https://x.example/{a}"\nparameters = { a = "string?" }',
        r"3: url: \{a\} may be left out",
    ),
    "optional within a text": (
        URL + 'parameters = { a = "string?" }\nquery = { q = "x {a}" }',
        r"5: query.q: \{a\} may be left out: .* let it stand alone",
    ),
    "unused": (
        URL + 'method = "POST"\nparameters = { a = "string" }\nbody = { b = 1 }',
        r"5: parameters.a: it is used nowhere",
    ),
    "body of a read": (URL + "[body]\nb = 1", r"4: body: GET has no body: use `query`"),
    "no lookup": (
        URL + 'recovery = "reconcile"',
        r"4: recovery: reconcile needs a",
    ),
    "idle lookup": (
        URL + "[lookup]\n" + URL,
        r"4: lookup: nobody asks it: write recovery =",
    ),
    "lookup astray": (
        URL + 'recovery = "reconcile"\n[lookup]\nurl = "https://127.1/"',
        r"6: lookup.url: 127.1: an odd spelling",
    ),
    "twice": ('name = "b"', r"3: Cannot overwrite a value"),
    "not TOML": ("url = https", r"3: Invalid value"),
}


def test_a_name_says_what_a_name_is() -> None:
    with pytest.raises(HttpFileRefused, match=r"t.toml:1: name: .*letters, digits"):
        parse_http('name = "a b"\ndescription = "d"\n' + URL, "t.toml", {})


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_has_its_line_and_a_way_out(text: str, told: str) -> None:
    found = problems(text)

    assert re.search(f"t.toml:{told}", "\n".join(found)), found


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    found = problems("""url = "https://x.example/{nobody}"
method = "SEND"
timeout_s = -1
colour = "red"
[headers]
X-Key = "secret"
[parameters]
a = "strin"
customer = "string"
[reach]
private = ["erp"]
""")

    lines = [int(each.split(":")[1]) for each in found]
    assert lines == sorted(lines)
    assert set(lines) == {4, 5, 6, 7, 10, 11, 13}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "t.toml"
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(HttpFileRefused, match="not UTF-8: save it as UTF-8"):
        read_http(binary, {})
    with pytest.raises(HttpFileRefused, match="No such file"):
        read_http(tmp_path / "none.toml", {})
    with pytest.raises(HttpFileRefused, match="more than 200,000 characters"):
        parse_http("#" * 200_001, "t.toml", {})


def test_no_value_of_a_secret_is_in_what_is_told_of_a_plan() -> None:
    plan = parsed(URL + '[headers]\nAuthorization = "Bearer ${env:ORDERS_KEY}"')

    assert KEPT["ORDERS_KEY"] not in repr(plan)
