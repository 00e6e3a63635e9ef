"""One call against a real server: what goes out, and what each kind of answer becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stepfold.tools.guard import Reach
from stepfold.tools.openapi import OpenApiTool, StaticHeaders
from stepfold.tools.openapi.openapi_tool import Way
from stepfold.tools.tool import Caller, ToolError, calling
from stepfold.tools.unsure import Unsure
from tests.connections.loopback import Answer, Loopback, answering
from tests.connections.small import one
from tests.servers import free_port

NOBODY = Caller()


def tool(at: Loopback | str, method: str = "get", **more: Any) -> OpenApiTool:
    url = at if isinstance(at, str) else at.url
    private = more.pop("private", (url.removeprefix("http://"),))
    reach = Reach(private=private, timeout_s=1.0, bytes_max=10_000)
    way = more.pop("way", Way(url))
    operation = one(
        {
            "parameters": [
                {"name": "q", "in": "query", "schema": {"type": "string"}},
                {"name": "Authorization-Like", "in": "header", "schema": {"type": "string"}},
            ]
        },
        method=method,
    )
    return OpenApiTool(
        operation, lambda who: way, name="shop_one", reads=method == "get", reach=reach, **more
    )


async def test_a_request_carries_what_the_connection_says_and_not_what_the_model_says() -> None:
    environment = {"TOKEN": "secret-1"}
    credentials = StaticHeaders({"Authorization-Like": "Bearer ${env:TOKEN}"}, environment)

    with answering(lambda asked: Answer(200, {"ok": True})) as server:
        way = Way(server.url, credentials, {"X-Own": "1"}, {"key": "a b"})
        made = tool(server, way=way)
        with calling(Caller("acme", traceparent="00-aa-bb-01")):
            told = await made.run({"q": "x", "Authorization-Like": "mine"}, call="c1")

    (asked,) = server.asked
    assert told == {"ok": True}
    assert asked.target == "/things?q=x&key=a+b"
    assert asked.headers["authorization-like"] == "Bearer secret-1"
    assert asked.headers["x-own"] == "1"
    assert asked.headers["traceparent"] == "00-aa-bb-01"
    assert asked.headers["host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(200, [1, {"a": None}]), [1, {"a": None}]),
        (Answer(204), {"status": 204}),
        (Answer(200, b"words", {"Content-Type": "text/plain"}), "words"),
        (Answer(200, b"{no", {"Content-Type": "application/json"}), "{no"),
        (
            Answer(200, b"\x89PNG", {"Content-Type": "image/png"}),
            {"content_type": "image/png", "bytes": 4},
        ),
    ],
)
async def test_an_answer_is_kept_as_it_is(answer: Answer, told: Any) -> None:
    with answering(lambda asked: answer) as server:
        assert await tool(server).run({}, call="c1") == told


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 501])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_an_answer_that_says_no_is_an_error_of_the_tool(status: int, method: str) -> None:
    body = {"error": "x" * 2_000}
    with (
        answering(lambda asked: Answer(status, body, {"Retry-After": "7"})) as server,
        pytest.raises(ToolError) as refused,
    ):
        await tool(server, method).run({}, call="c1")

    assert f"shop_one: {status} " in str(refused.value)
    assert "xxx…" in str(refused.value)
    assert "(again after 7 s)" in str(refused.value)
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize(
    "answer",
    [Answer(500), Answer(503, {"e": 1}), Answer(None), Answer(302, b"", {"Location": "/b"})],
    ids=["500", "503", "closed", "moved"],
)
async def test_after_a_write_an_answer_that_says_nothing_leaves_it_unsure(answer: Answer) -> None:
    with (
        answering(lambda asked: answer) as server,
        pytest.raises(Unsure, match=r"shop_one: .*nobody can say whether it was done"),
    ):
        await tool(server, "post").run({}, call="c1")

    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [Answer(500), Answer(None)], ids=["500", "closed"])
async def test_a_read_that_fails_has_done_nothing(answer: Answer) -> None:
    with answering(lambda asked: answer) as server, pytest.raises(ToolError, match="shop_one: "):
        await tool(server).run({}, call="c1")


@pytest.mark.parametrize(("method", "kind"), [("get", ToolError), ("post", Unsure)])
async def test_an_answer_that_does_not_come_in_time(method: str, kind: type[Exception]) -> None:
    import threading

    release = threading.Event()

    def slow(asked: Any) -> Answer:
        release.wait(20)
        return Answer(None)

    with answering(slow) as server:
        try:
            with pytest.raises(kind, match="took longer than 1 s"):
                await tool(server, method).run({}, call="c1")
        finally:
            release.set()


async def test_a_server_that_is_not_there_has_done_nothing() -> None:
    with pytest.raises(ToolError, match="shop_one: the server cannot be reached"):
        await tool(f"http://127.0.0.1:{free_port()}", "post").run({}, call="c1")


async def test_a_write_whose_good_answer_is_too_large_has_happened() -> None:
    with answering(lambda asked: Answer(201, {"a": "x" * 20_000})) as server:
        told = await tool(server, "post").run({}, call="c1")

    assert told == "(the answer broke off, or is too large)"


async def test_a_read_whose_answer_is_too_large_is_an_error() -> None:
    with (
        answering(lambda asked: Answer(200, {"a": "x" * 20_000})) as server,
        pytest.raises(ToolError, match="more than 10,000 bytes"),
    ):
        await tool(server).run({}, call="c1")


async def test_a_redirect_elsewhere_takes_no_credentials_along() -> None:
    with answering(lambda asked: Answer(200, {"there": True})) as elsewhere:
        moved = Answer(302, b"", {"Location": f"{elsewhere.url}/x"})
        with answering(lambda asked: moved) as server:
            both = (f"127.0.0.1:{server.port}", f"127.0.0.1:{elsewhere.port}")
            way = Way(server.url, StaticHeaders({"X-Key": "secret-1"}, {}))
            told = await tool(server, way=way, private=both).run({}, call="c1")

    assert told == {"there": True}
    assert "x-key" not in elsewhere.asked[0].headers


async def test_a_server_that_is_not_public_is_refused_unless_it_is_listed() -> None:
    with answering(lambda asked: Answer(200)) as server:
        made = OpenApiTool(
            one({}),
            lambda who: Way(server.url.replace("http:", "https:")),
            name="shop_one",
            reads=True,
            reach=Reach(ports=(server.port,)),
        )
        with pytest.raises(ToolError, match="loopback"):
            await made.run({}, call="c1")

    assert server.asked == []


async def test_a_write_can_be_repeated_only_with_a_key() -> None:
    with answering(lambda asked: Answer(201, {})) as server:
        plain = tool(server, "post")
        keyed = tool(server, "post", key_header="Idempotency-Key")
        await plain.run({}, call="acme/c1/r1.1")
        await keyed.run({}, call="acme/c1/r1.1")

    assert plain.spec.recovery == "never_repeat"
    assert keyed.spec.recovery == "idempotent"
    assert tool(server).spec.recovery == "idempotent"
    assert [asked.headers.get("idempotency-key") for asked in server.asked] == [
        None,
        "acme/c1/r1.1",
    ]


class Renewed:
    """Credentials of which the first are too old."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = iter(tokens)
        self.rejections: list[dict[str, str]] = []

    async def headers(self, customer: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {next(self.tokens)}"}

    async def rejected(self, customer: str, sent: Mapping[str, str]) -> dict[str, str] | None:
        self.rejections.append(dict(sent))
        token = next(self.tokens, None)
        return None if token is None else {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("method", ["get", "post"])
async def test_credentials_that_grow_old_are_renewed_once(method: str) -> None:
    def knows(asked: Any) -> Answer:
        good = asked.headers["authorization"] == "Bearer new-token"
        return Answer(200 if good else 401, {"ok": good})

    with answering(knows) as server:
        renewed = Renewed("old-token", "new-token")
        told = await tool(server, method, way=Way(server.url, renewed)).run({}, call="c1")
        for tokens in (("old-token",), ("old-token", "other-token", "new-token")):
            way = Way(server.url, Renewed(*tokens))
            with pytest.raises(ToolError, match="shop_one: 401"):
                await tool(server, method, way=way).run({}, call="c1")

    assert told == {"ok": True}
    assert renewed.rejections == [{"Authorization": "Bearer old-token"}]


async def test_a_secret_that_comes_back_is_taken_out() -> None:
    def echo(asked: Any) -> Answer:
        return Answer(400 if "bad" in asked.target else 200, {"headers": asked.headers})

    with answering(echo) as server:
        way = Way(server.url, StaticHeaders({"Authorization": "Bearer ${env:T}"}, {"T": "tok-123"}))
        told = await tool(server, way=way).run({}, call="c1")
        with pytest.raises(ToolError) as refused:
            await tool(server, way=way).run({"q": "bad"}, call="c1")

    assert told["headers"]["authorization"] == "Bearer [Authorization]"
    assert "tok-123" not in str(refused.value)


async def test_a_secret_that_is_not_set_is_named_and_nothing_is_sent() -> None:
    with answering(lambda asked: Answer(200)) as server:
        way = Way(server.url, StaticHeaders({"X-Key": "${env:NOT_SET}"}, {}, place="shop.toml"))
        with pytest.raises(ToolError, match=r"shop\.toml: X-Key: the variable NOT_SET is not set"):
            await tool(server, way=way).run({}, call="c1")

    assert server.asked == []
