"""A broken description loads, and says what was done about it; or the operation says why not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connections.small import described, found, one, read

JSON_BODY = {"content": {"application/json": {"schema": {"type": "object"}}}}


def test_a_sound_description_has_nothing_to_find() -> None:
    paths = {"/a/{id}": {"get": {"operationId": "a", "parameters": [param("id", "path")]}}}

    assert found(described(paths)) == []


def param(name: str, where: str, **more: Any) -> dict[str, Any]:
    told = {"name": name, "in": where, "schema": {"type": "string"}}
    return {**told, **({"required": True} if where == "path" else {}), **more}


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("pets.list all!", "pets_list_all"),
        ("a" * 90, f"{'a' * 41}_6b2ec7"),
        ("überall", "berall"),
        ("find_tool", "find_tool_get_a"),
        (None, "get_a"),
        ("", "get_a"),
        (7, "get_a"),
    ],
)
def test_a_name_that_no_tool_may_have_is_mended(told: Any, named: str) -> None:
    made, findings = read(described({"/a": {"get": {"operationId": told}}}))

    assert made.names() == (named,)
    assert [each.place for each in findings] == ["#/paths/~1a/get/operationId"]


def test_names_that_stand_twice_are_told_apart_and_stay_so() -> None:
    paths = {f"/{name}": {"get": {"operationId": "Same"}} for name in "abc"}
    paths["/d"] = {"get": {"operationId": "same"}}

    first, findings = read(described(paths))
    second, _ = read(described(paths))

    assert first.names() == ("Same", "Same_get_b", "Same_get_c", "same_get_d")
    assert second.names() == first.names()
    assert len(findings) == 3


# -- methods ------------------------------------------------------------------------------------


def test_a_word_in_a_path_that_is_no_method_is_told() -> None:
    item = {"gte": {}, "Fetch": {}, "summary": "s", "x-own": {}, "get": {"operationId": "a"}}

    made, findings = read(described({"/a": item}))

    assert made.names() == ("a",)
    assert [(each.place, each.broken) for each in findings] == [
        ("#/paths/~1a/gte", "'gte' is no method: did you mean get?"),
        ("#/paths/~1a/Fetch", "'Fetch' is no method"),
    ]


# -- paths and parameters -----------------------------------------------------------------------


def test_a_placeholder_that_is_not_described_is_a_required_text() -> None:
    made = one({}, path="/things/{id}")

    assert made.parameters["properties"] == {"id": {"type": "string"}}
    assert made.parameters["required"] == ["id"]


def test_a_path_parameter_that_the_path_does_not_have_is_left_out() -> None:
    made = one({"parameters": [param("id", "path")]})

    assert made.parameters["properties"] == {}


def test_parameters_of_the_path_are_those_of_each_operation_unless_it_says_otherwise() -> None:
    own = {"parameters": [param("page", "query", schema={"type": "integer"})]}
    shared = [param("page", "query"), param("size", "query")]

    made, findings = read(described({"/a": {"parameters": shared, "get": own}}))

    assert made.operations[0].parameters["properties"] == {
        "page": {"type": "integer"},
        "size": {"type": "string"},
    }
    assert len(findings) == 1  # there is no operationId


def test_a_parameter_that_stands_twice_counts_once() -> None:
    twice = [param("a", "query"), param("a", "query", schema={"type": "integer"})]

    made, findings = read(described({"/a": {"get": {"operationId": "x", "parameters": twice}}}))

    assert made.operations[0].parameters["properties"] == {"a": {"type": "string"}}
    assert [each.broken for each in findings] == ["query parameter 'a' stands twice"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"$ref": "#/components/parameters/gone"}, "#/components/parameters/gone is not there"),
        ({"in": "query"}, "a parameter needs a name and an `in`"),
        ({"name": "x", "in": "body"}, "a parameter needs a name and an `in`"),
        ("words", "a parameter needs a name and an `in`"),
        (param("x", "query", style="pointy"), "style 'pointy' is none of a query parameter"),
        ({"name": "x", "in": "query"}, "parameter 'x' has no schema"),
    ],
)
def test_a_broken_parameter_is_found(broken: Any, says: str) -> None:
    paths = {"/a": {"get": {"operationId": "x", "parameters": [broken]}}}

    assert any(says in each for each, _ in found(described(paths)))


def test_arguments_of_one_name_in_two_places_have_two_names() -> None:
    told = [param("id", "path"), param("id", "query"), param("body", "query")]
    made = one({"parameters": told, "requestBody": JSON_BODY}, path="/a/{id}", method="post")

    assert set(made.parameters["properties"]) == {"id", "query_id", "query_body", "body"}


def test_a_parameter_with_odd_characters_gets_a_name_that_every_provider_takes() -> None:
    made = one({"parameters": [param("filter[created_at]", "query")]})

    assert [(each.name, each.parameter) for each in made.arguments] == [
        ("filter_created_at", "filter[created_at]")
    ]


def test_headers_of_the_connection_itself_are_no_arguments() -> None:
    told = [param(name, "header") for name in ("Accept", "authorization", "Content-Type", "X-A")]

    assert set(one({"parameters": told}).parameters["properties"]) == {"X-A"}


def test_what_shows_who_asks_is_no_argument() -> None:
    told = [param("x-key", "header"), param("api_key", "query"), param("q", "query")]
    schemes = {
        "a": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "b": {"type": "apiKey", "in": "query", "name": "api_key"},
    }

    made = one({"parameters": told}, components={"securitySchemes": schemes})

    assert set(made.parameters["properties"]) == {"q"}


def test_an_idempotency_key_is_never_the_models_to_give() -> None:
    made = one({"parameters": [param("Idempotency-Key", "header", required=True)]}, method="post")

    assert made.parameters["properties"] == {}
    assert made.key_header == "Idempotency-Key"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/a#b", "has a fragment, or a placeholder in its query"),
        ("/a?b={c}", "has a fragment, or a placeholder in its query"),
        ("/a/{id", "the braces in its path"),
        ("/a/{}", "has no name"),
    ],
)
def test_a_path_that_cannot_be_called_is_skipped(path: str, reason: str) -> None:
    made, _ = read(described({path: {"get": {"operationId": "x"}}}))

    assert [(each.name, reason in each.reason) for each in made.skipped] == [("x", True)]


# -- bodies, servers, references ----------------------------------------------------------------


@pytest.mark.parametrize("media", ["multipart/form-data", "text/plain", "application/xml"])
def test_an_operation_whose_body_cannot_be_written_is_skipped(media: str) -> None:
    body = {"content": {media: {"schema": {"type": "object"}}}}

    made, _ = read(described({"/a": {"post": {"operationId": "x", "requestBody": body}}}))

    assert made.operations == ()
    assert f"its body is {media}: only JSON and" in made.skipped[0].reason


def test_json_is_taken_where_there_is_a_choice() -> None:
    kinds = ("multipart/form-data", "application/x-www-form-urlencoded", "application/vnd.x+json")
    body = {"content": {kind: {"schema": {"type": "object"}} for kind in kinds}}

    made = one({"requestBody": body}, method="post")

    assert made.body is not None
    assert (made.body.media, made.body.form) == ("application/vnd.x+json", False)


@pytest.mark.parametrize("reference", ["other.yaml#/A", "https://elsewhere.example/a.json"])
def test_what_stands_in_another_file_is_not_fetched(reference: str) -> None:
    body = {"content": {"application/json": {"schema": {"$ref": reference}}}}

    made, _ = read(described({"/a": {"post": {"operationId": "x", "requestBody": body}}}))

    (skipped,) = made.skipped
    assert reference in skipped.reason
    assert "#/paths/~1a/post/requestBody/content/application~1json/schema" in skipped.reason
    assert "bundle it into one file first" in skipped.reason


def test_an_operation_that_stands_in_another_file_is_skipped() -> None:
    made, _ = read(described({"/a": {"get": {"$ref": "a.yaml"}}, "/b": {"$ref": "b.yaml"}}))

    assert made.operations == ()
    assert [each.name for each in made.skipped] == ["get /a", "/b"]


def test_references_that_lead_in_a_circle_are_found() -> None:
    circle = {
        "a": {"$ref": "#/components/parameters/b"},
        "b": {"$ref": "#/components/parameters/a"},
    }
    paths = {
        "/a": {"get": {"operationId": "x", "parameters": [circle["a"]]}},
    }

    made, findings = read(described(paths, components={"parameters": circle}))

    assert made.names() == ("x",)
    assert "refers on and on" in findings[0].broken


@pytest.mark.parametrize(
    ("servers", "broken"),
    [
        (None, "no server is described"),
        ([{"url": "/v1"}], "'/v1' has no host"),
        ([{}], "a server without a url"),
        ([{"url": "https://{tenant}.example"}], "variable {tenant} has no default"),
    ],
)
def test_a_server_that_leads_nowhere_is_found(servers: Any, broken: str) -> None:
    told = described({"/a": {"get": {"operationId": "x"}}})
    told["servers"] = servers

    assert broken in [each for each, _ in found(told)]


def test_an_operation_with_a_server_of_its_own_is_skipped() -> None:
    operation = {"operationId": "x", "servers": [{"url": "https://uploads.example"}]}

    made, _ = read(described({"/a": {"post": operation}}))

    assert "https://uploads.example" in made.skipped[0].reason


def test_methods_that_nobody_calls_and_webhooks_are_named() -> None:
    paths = {"/a": {"trace": {"operationId": "t"}, "get": {"operationId": "g"}, "x-more": 1}}

    made, findings = read(described(paths, webhooks={"w": {}}))

    assert made.names() == ("g",)
    assert [each.method for each in made.skipped] == ["trace"]
    assert [each.broken for each in findings] == ["they call you"]


def test_security_is_listed_and_a_scheme_that_is_not_there_is_found() -> None:
    flows = {"clientCredentials": {"tokenUrl": "https://a.example/token", "scopes": {"read": ""}}}
    told = {
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "user": {"type": "http", "scheme": "Basic"},
        "sign": {"type": "oauth2", "flows": flows},
        "odd": {},
    }
    operation = {"operationId": "x", "security": [{"key": []}, {"gone": []}]}

    made, findings = read(
        described({"/a": {"get": operation}}, components={"securitySchemes": told})
    )

    assert [(each.id, each.kind) for each in made.schemes] == [
        ("key", "apiKey"),
        ("user", "http"),
        ("sign", "oauth2"),
    ]
    assert made.schemes[2].token_url == "https://a.example/token"
    assert made.operations[0].security == ("key",)
    assert {each.broken for each in findings} == {
        "a security scheme without a type",
        "'gone' is no security scheme",
    }


def test_what_only_looks_like_a_search_or_a_read_is_in_doubt() -> None:
    paths = {
        "/things/search": {"post": {"operationId": "SearchThings"}},
        "/session/renew": {"get": {"operationId": "RenewSession"}},
        "/things": {"get": {"operationId": "ListThings"}, "post": {"operationId": "AddThing"}},
    }

    made, _ = read(described(paths))

    assert {each.name for each in made.operations if each.doubt} == {"SearchThings", "RenewSession"}


@pytest.mark.parametrize(
    ("method", "body", "broken"),
    [
        ("post", {}, "a body without content"),
        ("get", JSON_BODY, "a body in a GET"),
        ("post", {"content": {"application/json": {}}}, "a body without a schema"),
        ("delete", {"content": {"text/plain": {}}}, "its body is text/plain"),
    ],
)
def test_a_body_that_is_not_needed_or_not_told_is_found(
    method: str, body: Any, broken: str
) -> None:
    paths = {"/a": {method: {"operationId": "x", "requestBody": body}}}

    made, findings = read(described(paths))

    assert made.names() == ("x",)
    assert any(broken in each.broken for each in findings)


def test_a_body_that_is_lost_is_a_reason_to_skip() -> None:
    body = {"$ref": "#/components/requestBodies/Gone"}

    made, _ = read(described({"/a": {"post": {"operationId": "x", "requestBody": body}}}))

    assert made.skipped[0].reason == "its body: #/components/requestBodies/Gone is not there"


def test_names_that_are_the_same_when_shortened_are_told_apart() -> None:
    paths = {f"/{'long' * 9}{n}/a": {"get": {"operationId": f"{'x' * 60}{n}"}} for n in range(3)}

    made, _ = read(described(paths))

    assert len(set(made.names())) == 3
    assert max(map(len, made.names())) <= 48


@pytest.mark.parametrize(
    ("paths", "broken"),
    [
        ({"/a": ["get"]}, "no mapping of methods"),
        ({"/a": {"get": "x"}}, "no operation"),
        ({"a": {"get": {"operationId": "x"}}}, "the path 'a' begins without a slash"),
        ({"/a": {"get": {"operationId": "x", "parameters": {}}}}, "no list of parameters"),
    ],
)
def test_a_path_that_is_written_wrong_is_found(paths: Any, broken: str) -> None:
    sound = {"/b": {"get": {"operationId": "b"}}}

    assert broken in [each for each, _ in found(described({**paths, **sound}))]


def test_more_findings_than_anybody_reads_are_counted() -> None:
    paths = {f"/a{n}": {"post": {"operationId": f"x{n}"}} for n in range(1_100)}

    findings = read(described(paths))[1]

    assert len(findings) == 1_001
    assert findings[-1].broken == "100 more are like these"


def test_parameters_in_content_are_sent_as_json() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    told = {"name": "f", "in": "query", "content": {"application/json": {"schema": schema}}}

    made = one({"parameters": [told]})

    assert made.arguments[0].json
    assert made.parameters["properties"]["f"] == schema


def test_an_operation_is_described_by_its_words_else_by_its_path() -> None:
    assert one({"summary": "List things", "description": "Of all kinds."}).description == (
        "List things. Of all kinds"
    )
    assert one({"summary": "List things", "description": "List things."}).description == (
        "List things"
    )
    assert one({}).description == "GET /things"


def test_an_operation_says_whether_its_answers_are_objects() -> None:
    def answers(**responses: Any) -> bool:
        told = {
            code.removeprefix("s"): {"content": {"application/json": {"schema": {"type": kind}}}}
            for code, kind in responses.items()
        }
        return one({"responses": told}).objects

    assert answers(s200="object", s404="string")
    assert not answers(s200="object", s201="array")
    assert not answers(s404="object")
