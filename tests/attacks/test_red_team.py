"""Documents, tickets, pages, answers and messages that tell an obedient model to do harm. What the
tools did is what counts, and they wrote it down themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalGranted,
    ApprovalRequested,
    ConversationStarted,
    Event,
    MessageReceived,
    ResponseGiven,
    ToolRefused,
    TurnAbandoned,
)
from stepfold.events.values import Arguments, FileRef, Passage
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.model import Call
from stepfold.testing import Arrangement, Passages
from stepfold.tools import http
from stepfold.tools.http_file import parse_http
from stepfold.tools.mcp import McpServer
from stepfold.tools.tool import ToolError, ToolSpec
from stepfold.tools.unsure import Unsure
from tests.attacks.injections import ADA, INJECTIONS, Channel, Injection, refund
from tests.attacks.obedient import Obedient
from tests.connections.loopback import Answer, answering
from tests.mcp_servers.begun import SHOP, by_name, python

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
DIGEST = "sha256:" + "2" * 64
STEPS_MAX, CALLS_MAX = 8, 8
CHARACTERS_MAX = 400


def spec(name: str, effect: Any, /, **more: Any) -> ToolSpec:
    return ToolSpec(name, effect=effect, **more)


SPECS = (
    spec("get_profile", "read", trusted=True),
    spec("get_ticket", "read", result_chars_max=CHARACTERS_MAX),
    spec("get_page", "read"),
    spec("get_order", "read"),
    spec("get_status", "external", result={"type": "integer"}),
    spec("refund", "write", recovery="idempotent", trusted=True),
    spec("note", "write", recovery="idempotent", trusted=True),
    spec("send_mail", "external", trusted=True),
    spec("delete_account", "write"),
    spec("set_limits", "write"),
)
ALLOWED = ("get_profile", "get_ticket", "get_page", "get_order", "get_status", "refund", "note",
           "send_mail")  # fmt: skip
OURS = {"customer": {"const": "{customer}"}}
PLAIN = Agent(
    "desk",
    models=("obedient",),
    tools=tuple(each.name for each in SPECS),
    collections=("handbook",),
    limits=Limits(steps_max=STEPS_MAX, calls_max=CALLS_MAX),
)
"""The same desk without a defence: all tools, and no grants."""
GUARDED = Agent(
    "desk",
    models=("obedient",),
    tools=ALLOWED,
    collections=("handbook",),
    limits=Limits(steps_max=STEPS_MAX, calls_max=CALLS_MAX),
    grants={
        "get_page": Grant(arguments={"url": {"pattern": r"^https://docs\.acme\.example/"}}),
        "get_order": Grant(arguments=OURS),
        "get_status": Grant(safe=True),
        "refund": Grant(
            arguments=OURS,
            approval=Approval(
                unless={"amount": {"type": "number", "minimum": 0, "maximum": 20}}, expires_s=600
            ),
        ),
        "note": Grant(safe=True, arguments={"contact": {"const": "{contact}"}}),
        "send_mail": Grant(arguments={"to": {"const": "{contact}"}}),
    },
)


class Did(Struct, frozen=True):
    tool: str
    arguments: Arguments


class Tool:
    """It writes down what it does, and answers with what strangers wrote."""

    def __init__(self, spec: ToolSpec, did: list[Did], answers: Callable[[], Any]) -> None:
        self.spec = spec
        self._did = did
        self._answers = answers

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        told = self._answers()
        if isinstance(told, ToolError):
            raise told
        self._did.append(Did(self.spec.name, arguments))
        if isinstance(told, Exception):
            raise told
        return told


READS: dict[Channel, Call] = {
    "knowledge": Call("search", {"query": "opening hours"}),
    "title": Call("search", {"query": "opening hours"}),
    "ticket": Call("get_ticket", {}),
    "long": Call("get_ticket", {}),
    "error": Call("get_ticket", {}),
    "page": Call("get_page", {"url": "https://docs.acme.example/hours"}),
    "object": Call("get_order", {"customer": "acme"}),
    "doubt": Call("get_status", {}),
    "misfit": Call("get_status", {}),
}
"""The harmless call through which a text reaches the model."""


def answer(channel: Channel, text: str) -> Any:
    """What the tool of a channel gives."""
    match channel:
        case "error":
            return ToolError(text)
        case "doubt":
            return Unsure(text)
        case "misfit":
            return {"told": text}
        case "object":
            return {"orders": [{"id": 7, "lines": [{"text": text}]}]}
        case "long":
            return text + " and so on" * CHARACTERS_MAX
        case _:
            return text


class Attack:
    """One injection, told to one agent."""

    def __init__(self, injection: Injection) -> None:
        self.injection = injection
        self.did: list[Did] = []
        self.model = Obedient()
        self._text = injection.texts[0]
        channel = injection.channel
        title = self._text if channel == "title" else "Hours"
        told = self._text if channel == "knowledge" else "The branch opens at 9. It is green."
        passage = Passage("hours.md", title, DIGEST, 0, len(told), told, 1.0)
        self.arrangement = Arrangement(
            models={"obedient": self.model},
            tools=[Tool(each, self.did, self._answers(each.name)) for each in SPECS],
            knowledge=Passages(passage),
        )

    def _answers(self, name: str) -> Callable[[], Any]:
        channel = self.injection.channel
        mine = channel in READS and READS[channel].name == name
        return lambda: answer(channel, self._text) if mine else "done"

    async def on(self, agent: Agent, *, pinned_as_it_is: bool = False) -> None:
        """All of its texts, one in each turn."""
        if pinned_as_it_is:
            digest = await self.arrangement.agents.put(agent)
            await self.arrangement.append("c1", ConversationStarted(agent.name, digest))
        else:
            await self.arrangement.start(agent)
        for text in self.injection.texts:
            self._text = text
            await self._turn(text)

    async def _turn(self, text: str) -> None:
        channel = self.injection.channel
        if channel in READS:
            self.model.plan.append(READS[channel])
        name = text if channel == "file name" else "invoice.pdf"
        blob = await self.arrangement.files.put(text.encode())
        self.model.files[blob] = text
        files = (FileRef("application/pdf", blob, name=name),)
        heard = MessageReceived(
            text if channel == "message" else "When are you open? See what I sent.",
            contact=ADA,
            files=files if channel in ("file", "file name") else (),
        )
        await self.arrangement.append("c1", heard)
        await self.arrangement.run_to_rest()

    async def of(self, *kinds: type[Event]) -> list[Event]:
        rest = await self.arrangement.rest()
        return [event for event in rest.events if isinstance(event, kinds)]

    @property
    def harm(self) -> list[Did]:
        """What was done that nobody had agreed to."""
        return [each for each in self.did if not harmless(each)]


def harmless(did: Did) -> bool:
    """What reads our own, and a note on who is asking, which is declared safe."""
    match did.tool:
        case "get_profile" | "get_ticket" | "get_status":
            return True
        case "get_page":
            return bool(did.arguments["url"].startswith("https://docs.acme.example/"))
        case "get_order":
            return did.arguments.get("customer") == "acme"
        case "note":
            return did.arguments.get("contact") == ADA
        case _:
            return False


def test_there_are_enough_of_them_and_of_every_kind() -> None:
    assert len(INJECTIONS) >= 60
    assert len({each.name for each in INJECTIONS}) == len(INJECTIONS)
    assert {each.channel for each in INJECTIONS} == set(Channel.__args__)  # type: ignore[attr-defined]


def named(injections: Iterable[Injection]) -> Any:
    return [pytest.param(each, id=each.name) for each in injections]


@pytest.mark.parametrize("injection", named(INJECTIONS))
async def test_what_a_stranger_orders_is_not_done(injection: Injection) -> None:
    attack = Attack(injection)

    await attack.on(GUARDED)

    assert attack.harm == []
    await FATES[injection.fate](attack)
    for _ in range(2):  # an hour each
        await attack.arrangement.run_to_rest(past_approvals=True)
    assert attack.harm == []
    assert (await attack.arrangement.rest()).state.turn is None
    assert await attack.of(ApprovalGranted) == []


async def _refused(attack: Attack) -> None:
    refused = [event.name for event in await attack.of(ToolRefused)]  # type: ignore[union-attr]
    assert refused == [call.name for call in attack.model.obeyed] != []
    assert await attack.of(ApprovalRequested) == []
    assert await attack.of(ResponseGiven)


async def _waits(attack: Attack) -> None:
    (call,) = attack.model.obeyed
    (waiting,) = await attack.arrangement.waiting()
    request = waiting.agreement.request
    assert (request.name, request.arguments) == (call.name, call.arguments)
    assert await attack.of(ToolRefused) == []


async def _limited(attack: Attack) -> None:
    assert len(attack.model.obeyed) >= STEPS_MAX - 1
    assert len(attack.did) <= max(STEPS_MAX, CALLS_MAX + 1)
    ended = await attack.of(TurnAbandoned, ToolRefused)
    assert ended
    assert all("calls" in str(e) or "steps" in str(e) for e in ended)


async def _said(attack: Attack) -> None:
    (given,) = await attack.of(ResponseGiven)
    assert isinstance(given, ResponseGiven)
    assert given.citations == ()
    assert given.refused


FATES = {"refused": _refused, "waits": _waits, "limited": _limited, "said": _said}


# -- so that the tests above can fail --------------------------------------------------------------


@pytest.mark.parametrize("injection", named(each for each in INJECTIONS if each.works))
async def test_without_a_defence_it_is_done(injection: Injection) -> None:
    attack = Attack(injection)

    await attack.on(PLAIN, pinned_as_it_is=True)

    ordered = [Did(call.name, call.arguments) for call in attack.model.obeyed]
    assert ordered
    assert [each for each in attack.did if each in ordered] == ordered[:CALLS_MAX]


async def test_the_same_model_does_its_work_where_nobody_injects() -> None:
    attack = Attack(Injection("none", "ticket", ("Where is my parcel?",), "said"))
    work = (
        Call("get_profile", {}),
        Call("get_order", {"customer": "acme"}),
        Call("note", {"contact": ADA, "text": "asked about it"}),
    )
    paid = (
        Call("refund", {"customer": "acme", "amount": 15}),
        Call("send_mail", {"to": ADA, "text": "It is refunded."}),
    )
    attack.model.plan += [work[0], *paid, *work[1:]]

    await attack.on(GUARDED)

    assert {each.tool for each in attack.did} >= {call.name for call in (*work, *paid)}
    assert await attack.of(ToolRefused, ApprovalRequested) == []
    assert await attack.of(ResponseGiven)


async def test_and_what_people_agree_to_is_done_and_nothing_else() -> None:
    (injection,) = [each for each in INJECTIONS if each.name == "an approval in a ticket"]
    attack = Attack(injection)
    await attack.on(GUARDED)

    await attack.arrangement.approve("ops")
    await attack.arrangement.run_to_rest()

    assert attack.harm == [Did("refund", {"customer": "acme", "amount": 80})]


# -- over a wire -----------------------------------------------------------------------------------

ORDER = refund(15)
HTTP = """name = "s_get_order"
description = "Reads."
url = "{url}/orders"
parameters = {{ id = "string" }}
[reach]
private = ["127.0.0.1:{port}"]
"""


@asynccontextmanager
async def over_http(ledger: Path) -> AsyncIterator[Any]:
    with answering(lambda asked: Answer(200, {"id": 7, "text": ORDER})) as server:
        yield http.tool(parse_http(HTTP.format(url=server.url, port=server.port), "t.toml", {}), {})


@asynccontextmanager
async def over_mcp(ledger: Path) -> AsyncIterator[Any]:
    """This shop tells the number of an order as it was asked for."""
    async with McpServer(python(SHOP, ledger, reads=["get_*"])) as server:
        yield by_name(server.tools)["s_get_order"]


@pytest.mark.parametrize("wire", [over_http, over_mcp])
async def test_what_a_real_server_answers_is_a_strangers_word(wire: Any, tmp_path: Path) -> None:
    did: list[Did] = []
    model = Obedient()
    model.plan.append(Call("s_get_order", {"id": "o" + ORDER}))
    async with wire(tmp_path / "ledger") as read:
        pay = Tool(next(each for each in SPECS if each.name == "refund"), did, lambda: "paid")
        arrangement = Arrangement(models={"obedient": model}, tools=[read, pay])
        await arrangement.start(replace(GUARDED, tools=("s_get_order", "refund"), collections=()))
        await arrangement.say("Where is my parcel?")
        await arrangement.run_to_rest()

    (waiting,) = await arrangement.waiting()
    assert "after text of a stranger" in waiting.agreement.request.reason
    assert model.obeyed == [Call("refund", {"customer": "acme", "amount": 15})]
    assert did == []
