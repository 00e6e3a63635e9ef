"""Which providers a process can ask, by what is in its environment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from stepfold.handlers.worlds import Worlds
from stepfold.providers.gate import AT_ONCE, Gated
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.models import find
from stepfold.providers.scripted import ScriptedModel
from stepfold.routing import Server, encode_routes
from stepfold.settings import hosted as module
from stepfold.settings import parse_routes
from stepfold.settings.hosted import Reachable, hosted, missing
from stepfold.streams.memory import MemoryShelf

EVERY_KEY = {
    "OPENAI_API_KEY": "o",
    "ANTHROPIC_API_KEY": "a",
    "GEMINI_API_KEY": "g",
    "GOOGLE_CLOUD_PROJECT": "p",
    "CO_API_KEY": "c",
}


def test_without_a_key_only_what_needs_none_is_there() -> None:
    here = hosted({})

    assert here.models == {}
    assert list(here.embedders) == ["hashing"]
    assert list(here.rerankers) == ["overlap"]


def test_each_key_brings_its_provider_behind_a_gate() -> None:
    here = hosted(EVERY_KEY)

    assert list(here.models) == ["openai", "anthropic", "google", "vertex", "cohere"]
    assert all(isinstance(model, Gated) for model in here.models.values())
    assert set(here.embedders) == {"hashing", "openai", "google", "vertex", "cohere"}
    assert set(here.rerankers) == {"overlap", "cohere"}


@pytest.mark.parametrize(
    ("model", "way_out"),
    [
        ("openai/gpt-5", "set OPENAI_API_KEY"),
        ("google/gemini-2.5-pro", "set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("extractive", ""),
        ("ours/small", ""),
    ],
)
def test_a_model_without_its_key_names_the_variable(model: str, way_out: str) -> None:
    assert missing(model, {}) == way_out


def test_a_model_with_its_key_misses_nothing() -> None:
    assert missing("openai/gpt-5", {"OPENAI_API_KEY": "o"}) == ""


def test_a_provider_whose_sdk_is_not_installed_is_not_there_and_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SDKS", {**module.SDKS, "cohere": "no_such_package.sdk"})

    assert "cohere" not in hosted(EVERY_KEY).models
    assert missing("cohere/command-a-03-2025", EVERY_KEY) == "pip install 'stepfold[cohere]'"


def test_the_servers_of_the_routes_come_and_go_with_them() -> None:
    servers: dict[str, Server] = {}
    reachable = Reachable({"scripted": ScriptedModel([])}, lambda: servers, {})
    before = find(reachable, "ours/small")

    servers["ours"] = Server("openai-chat", "http://127.0.0.1:1/v1")
    found = find(reachable, "ours/small")

    assert before is None
    assert found is not None
    assert found[1] == "small"
    assert reachable["ours"] is found[0]  # and not another gate each time
    assert sorted(reachable) == ["ours", "scripted"]
    assert len(reachable) == 2


def at_once(reachable: Reachable, name: str) -> int:
    model = reachable[name]
    assert isinstance(model, Gated)
    return model.at_once


def test_a_gate_lets_through_as_many_at_once_as_the_routes_say_now() -> None:
    servers: dict[str, Server] = {}
    own = hosted({"OPENAI_API_KEY": "o"}).models
    reachable = Reachable(own, lambda: servers, {})
    told = [at_once(reachable, "openai")]
    ours = Server("openai-chat", "http://127.0.0.1:1/v1")

    servers |= {"openai": Server("shipped", "", at_once=8), "ours": replace(ours, at_once=2)}
    first = reachable["ours"]
    told += [at_once(reachable, "openai"), at_once(reachable, "ours")]
    servers |= {"openai": Server("shipped", "", at_once=9), "ours": ours}
    told += [at_once(reachable, "openai"), at_once(reachable, "ours")]
    servers.clear()
    told.append(at_once(reachable, "openai"))

    assert told == [AT_ONCE, 8, 2, 9, AT_ONCE, AT_ONCE]
    assert reachable["openai"] is own["openai"]
    servers["ours"] = ours
    assert reachable["ours"] is first  # what it knows of its failures and calls is kept


def test_how_many_at_once_brings_no_provider_that_has_no_key() -> None:
    servers = {"openai": Server("shipped", "", at_once=8)}
    reachable = Reachable({"scripted": ScriptedModel([])}, lambda: servers, {})

    assert find(reachable, "openai/gpt-5") is None
    assert list(reachable) == ["scripted"]
    assert len(reachable) == 1


class Meeting:
    """A model that answers when so many calls are in it. `most` were in it at once."""

    def __init__(self) -> None:
        self.wanted = 1
        self.most = self._inside = 0
        self._complete = asyncio.Condition()

    async def reply(self, prompt: Prompt, /) -> Reply:
        self._inside += 1
        self.most = max(self.most, self._inside)
        async with self._complete:
            self._complete.notify_all()
            await self._complete.wait_for(lambda: self.most >= self.wanted)
        await asyncio.sleep(0)
        self._inside -= 1
        return Reply("hello")


async def test_a_change_of_the_routes_is_heeded_by_the_next_calls() -> None:
    shelf, model = MemoryShelf(), Meeting()
    worlds = Worlds(shelf, lambda: datetime.now(UTC))
    own = {"openai": Gated(model, "openai")}
    reachable = Reachable(own, lambda: worlds.routes.providers, {})
    prompt = Prompt(instructions="", tools=(), transcript=(), call="r1")
    most = []

    for said, wanted in (("at_once = 1", 1), ("at_once = 3", 3), ("", 6)):
        table = f"[providers.openai]\n{said}\n" if said else ""
        text = '[converse]\nask = ["openai/gpt-5"]\n' + table
        await shelf.appoint(encode_routes(parse_routes(text, "r")))
        await worlds.look()
        model.wanted, model.most = wanted, 0
        await asyncio.gather(*(reachable["openai"].reply(prompt) for _ in range(6)))
        most.append(model.most)

    assert most == [1, 3, 6]
