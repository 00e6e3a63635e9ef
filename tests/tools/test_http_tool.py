"""A tool that is an HTTP endpoint: what it sends, and what each answer means."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepfold import __version__
from stepfold.tools.http import HttpTool, tool
from stepfold.tools.http_file import parse_http
from stepfold.tools.tool import Caller, Reconciling, ToolError, calling
from stepfold.tools.unsure import Unsure
from tests.tools.wild_server import Heard, WildServer, json, redirect, told, wild

CALL = "acme/c1/r1.1"
KEPT = {"ORDERS_KEY": "sk-live-93ab77"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
READ = 'url = "URL/orders/{order}"\nparameters = { order = "string" }'
WRITE = 'method = "POST"\nurl = "URL/refunds"\nparameters = { order = "string", amount = "number" }'
REFUND = {"order": "7", "amount": 5.5}


def made(text: str, server: WildServer, environment: dict[str, str] = KEPT) -> HttpTool:
    head = f'name = "t"\ndescription = "d"\n{text}\n'
    tail = f'[reach]\nprivate = ["127.0.0.1:{server.port}"]\n'
    plan = parse_http(head.replace("URL", server.url) + tail, "t.toml", environment)
    return tool(plan, environment)


async def run(text: str, server: WildServer, arguments: dict[str, Any]) -> Any:
    return await made(text, server).run(arguments, call=CALL)


# -- what is sent ---------------------------------------------------------------------------------


async def test_arguments_fill_the_path_the_query_and_the_headers() -> None:
    text = """url = "URL/orders/{order}?view=full&by={customer}"
query = { q = "{words}", page = 2, tag = "{tags}", note = "{note}" }
headers = { X-For = "{contact}", X-Note = "{note}", Authorization = "Bearer ${env:ORDERS_KEY}" }
parameters = { order = "string", words = "string", tags = "string[]", note = "string?" }"""

    async with wild({"/orders/A%2F7": json("ok")}) as server:
        with calling(Caller("acme", "c1", "anna@x.example", TRACE)):
            arguments = {"order": "A/7", "words": "a&b=c d", "tags": ["x", "y"]}
            assert await run(text, server, arguments) == "ok"

        (heard,) = server.heard
    assert heard.target == ("/orders/A%2F7?view=full&by=acme&q=a%26b%3Dc%20d&page=2&tag=x&tag=y")
    assert heard.headers["x-for"] == "anna@x.example"
    assert heard.headers["authorization"] == "Bearer sk-live-93ab77"
    assert heard.headers["traceparent"] == TRACE
    assert "x-note" not in heard.headers


async def test_the_remaining_arguments_of_a_read_are_its_query() -> None:
    text = 'url = "URL/find"\nparameters = { words = "string", open = "boolean", max = "integer?" }'

    async with wild({"/find": json([])}) as server:
        await run(text, server, {"words": "late", "open": True})

        assert server.heard[0].target == "/find?words=late&open=true"


async def test_the_remaining_arguments_of_a_write_are_its_body() -> None:
    text = """method = "PUT"
url = "URL/orders/{order}"
parameters = { order = "string", items = "string[]", gift = "boolean?", note = "string?" }"""

    async with wild({"/orders/7": json({"ok": True})}) as server:
        await run(text, server, {"order": "7", "items": ["a"], "gift": False})

        assert server.heard[0].headers["content-type"] == "application/json"
        assert server.heard[0].json == {"items": ["a"], "gift": False}


async def test_a_body_is_what_its_template_says_with_values_of_their_own_type() -> None:
    text = """method = "POST"
url = "URL/refunds"
parameters = { order = "string", amount = "number", lines = "integer[]", note = "string?" }
[body]
reference = "{call}"
text = "Refund of {order} {{sic}}"
by = { customer = "{customer}", kind = 3 }
of = ["{order}", { lines = "{lines}" }]
amount = "{amount}"
note = "{note}"
"""

    async with wild({"/refunds": json({})}) as server:
        with calling(Caller("acme")):
            await run(text, server, {"order": 'a"7', "amount": 5.5, "lines": [1, 2]})

        assert server.heard[0].json == {
            "reference": CALL,
            "text": 'Refund of a"7 {sic}',
            "by": {"customer": "acme", "kind": 3},
            "of": ['a"7', {"lines": [1, 2]}],
            "amount": 5.5,
        }


async def test_a_write_without_arguments_has_no_body() -> None:
    async with wild({"/restart": told(b"", status=204)}) as server:
        assert await run('method = "POST"\nurl = "URL/restart"', server, {}) == {"status": 204}

        assert server.heard[0].body == b""
        assert "content-type" not in server.heard[0].headers


async def test_whom_it_is_for_must_be_known() -> None:
    async with wild() as server:
        with pytest.raises(ToolError, match="contact is not known in this call"):
            await run('url = "URL/of/{contact}"', server, {})

        assert server.heard == []


async def test_an_idempotent_write_carries_the_same_key_each_time() -> None:
    text = WRITE + '\nrecovery = "idempotent"\nidempotency_header = "X-Once"'

    async with wild({"/refunds": json({})}) as server:
        writes = made(text, server)
        for _ in range(2):
            await writes.run(REFUND, call=CALL)
        await writes.run(REFUND, call="acme/c1/" + "r" * 300)
        keys = [heard.headers["x-once"] for heard in server.heard]

    assert keys[:2] == [CALL, CALL]
    assert len(keys[2]) == 64


async def test_what_may_not_be_repeated_carries_no_key() -> None:
    async with wild({"/refunds": json({})}) as server:
        await run(WRITE, server, REFUND)

        assert "idempotency-key" not in server.heard[0].headers


async def test_a_secret_that_was_unset_later_sends_nothing() -> None:
    text = READ + '\nheaders = { X-Key = "${env:ORDERS_KEY}" }'
    environment = dict(KEPT)

    async with wild() as server:
        reads = made(text, server, environment)
        environment.clear()
        with pytest.raises(ToolError, match="ORDERS_KEY is not set"):
            await reads.run({"order": "7"}, call=CALL)

        assert server.heard == []


# -- what an answer means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "place", "result"),
    [
        (json({"data": {"items": [{"id": 7}]}}), "data.items.0.id", 7),
        (json({"data": None}), "data", None),
        (json([1, 2]), "", [1, 2]),
        (told(b"in transit", kind="text/plain; charset=utf-8"), "", "in transit"),
        (told(b'{"a": 1}', kind="application/vnd.api+json"), "a", 1),
        (told(b'{"a": 1}', kind="text/javascript"), "a", 1),
        (told(b"", status=204), "", {"status": 204}),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "", [1]),
    ],
)
async def test_the_result_is_what_stands_at_its_place(
    answer: bytes, place: str, result: Any
) -> None:
    async with wild({"/orders/7": answer}) as server:
        found = await run(f'{READ}\nresult_at = "{place}"', server, {"order": "7"})

    assert found == result


@pytest.mark.parametrize("place", ["data.9", "data.x", "data.-1", "nothing", "data.0.id.x"])
async def test_a_place_with_nothing_at_it_is_named(place: str) -> None:
    async with wild({"/orders/7": json({"data": [{"id": 7}]})}) as server:
        with pytest.raises(ToolError, match=f"nothing at '{place}'"):
            await run(f'{READ}\nresult_at = "{place}"', server, {"order": "7"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
async def test_a_write_that_was_refused_has_not_happened(status: int) -> None:
    async with wild({"/refunds": json({"error": "no such order"}, status=status)}) as server:
        with pytest.raises(ToolError, match=f'HTTP {status}: {{"error":"no such order"}}'):
            await run(WRITE, server, REFUND)


@pytest.mark.parametrize("status", [300, 302, 303, 304, 500, 502, 503, 504])
async def test_whether_a_write_happened_that_ended_so_nobody_knows(status: int) -> None:
    async with wild({"/refunds": redirect("/elsewhere", status=status)}) as server:
        with pytest.raises(Unsure, match=f"HTTP {status}.*cannot be told"):
            await run(WRITE, server, REFUND)

        assert len(server.heard) == 1


@pytest.mark.parametrize("place", ["https://b.example/x", "/y", "https://[::1/"])
async def test_a_write_that_is_wanted_elsewhere_has_not_happened(place: str) -> None:
    async with wild({"/refunds": redirect(place, status=308)}) as server:
        with pytest.raises(ToolError, match="HTTP 308: it wants the request at "):
            await run(WRITE, server, REFUND)


async def test_a_conflict_of_a_key_may_be_the_call_itself_still_running() -> None:
    async with wild({"/refunds": json({}, status=409)}) as server:
        with pytest.raises(Unsure):
            await run(WRITE + '\nrecovery = "idempotent"', server, REFUND)


async def test_a_write_whose_result_is_not_at_its_place_was_done_all_the_same() -> None:
    async with wild({"/refunds": json({"id": 7}, status=201)}) as server:
        with pytest.raises(Unsure, match="says that it was done"):
            await run(WRITE + '\nresult_at = "refund.id"', server, REFUND)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_read_that_failed_changed_nothing(status: int) -> None:
    async with wild({"/orders/7": told(b"oops", status=status, kind="text/plain")}) as server:
        with pytest.raises(ToolError, match=f"HTTP {status}: oops"):
            await run(READ, server, {"order": "7"})


async def test_a_write_to_a_server_that_is_not_there_has_not_happened() -> None:
    async with wild() as server:
        writes = made(WRITE, server)

    with pytest.raises(ToolError, match="was not reached, nothing was sent"):
        await writes.run(REFUND, call=CALL)


# -- busy servers ---------------------------------------------------------------------------------


def busy(status: int, times: int, **headers: str) -> Any:
    left = [times]

    async def behave(heard: Heard, writer: asyncio.StreamWriter) -> None:
        left[0] -= 1
        writer.write(told(b"", status=status, **headers) if left[0] >= 0 else json("done"))

    return behave


@pytest.mark.parametrize("status", [429, 503])
async def test_a_read_waits_once_for_a_busy_server(status: int) -> None:
    async with wild({"/orders/7": busy(status, 1, retry_after="0.05")}) as server:
        assert await run(READ, server, {"order": "7"}) == "done"

        assert len(server.heard) == 2


@pytest.mark.parametrize(
    ("times", "headers", "asked"),
    [(2, {"retry_after": "0.05"}, 2), (1, {}, 1), (1, {"retry_after": "10"}, 1)],
    ids=["still busy", "does not say", "too long"],
)
async def test_a_read_waits_no_longer(times: int, headers: dict[str, str], asked: int) -> None:
    async with wild({"/orders/7": busy(429, times, **headers)}) as server:
        with pytest.raises(ToolError, match="HTTP 429"):
            await run(READ, server, {"order": "7"})

        assert len(server.heard) == asked


async def test_a_write_is_never_sent_twice() -> None:
    async with wild({"/refunds": busy(503, 1, retry_after="0.05")}) as server:
        with pytest.raises(Unsure):
            await run(WRITE, server, REFUND)

        assert len(server.heard) == 1


# -- did it happen? -------------------------------------------------------------------------------

RECONCILED = (
    WRITE
    + """
recovery = "reconcile"
result_at = "id"
headers = { Authorization = "Bearer ${env:ORDERS_KEY}", X-Reference = "{call}" }
[lookup]
url = "URL/refunds-of/{order}"
query = { reference = "{call}" }
result_at = "refunds.0.id"
absent = [404]
"""
)


async def looked_up(answer: bytes) -> tuple[Any, Heard]:
    async with wild({"/refunds-of/7": answer}) as server:
        writes = made(RECONCILED, server)
        assert isinstance(writes, Reconciling)
        return await writes.reconcile(REFUND, call=CALL), server.heard[0]


async def test_a_lookup_finds_what_the_call_did() -> None:
    found, heard = await looked_up(json({"refunds": [{"id": "rf_1"}]}))

    assert found == "rf_1"
    assert heard.target == "/refunds-of/7?reference=acme%2Fc1%2Fr1.1"
    assert heard.headers["authorization"] == "Bearer sk-live-93ab77"


@pytest.mark.parametrize(
    "answer",
    [json({"refunds": []}), json({}), json({"refunds": [{"id": None}]}), told(b"", status=404)],
    ids=["empty list", "no list", "null", "404"],
)
async def test_a_lookup_that_finds_nothing_says_that_it_did_not_happen(answer: bytes) -> None:
    assert (await looked_up(answer))[0] is None


@pytest.mark.parametrize(
    "answer",
    [told(b"", status=500), told(b"", status=403), told(b"<html>", kind="text/html"), b""],
    ids=["500", "403", "a web page", "nothing"],
)
async def test_a_lookup_that_fails_tells_nothing(answer: bytes) -> None:
    with pytest.raises(ToolError):
        await looked_up(answer)


async def test_an_answer_that_is_none_names_the_host_with_its_port_once() -> None:
    async with wild({"/orders/7": told(b"<html>Log in</html>", kind="text/html")}) as server:
        with pytest.raises(ToolError) as error:
            await run(READ, server, {"order": "7"})

        where = f"127.0.0.1:{server.port}"
        assert str(error.value) == f"{where}: its answer is not JSON but a web page"
        assert server.heard[0].headers["user-agent"] == f"stepfold/{__version__}"


async def test_only_a_tool_with_a_lookup_can_reconcile() -> None:
    async with wild() as server:
        assert not isinstance(made(WRITE, server), Reconciling)
        assert made(RECONCILED, server).spec.recovery == "reconcile"
