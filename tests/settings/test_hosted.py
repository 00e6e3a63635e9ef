"""Which providers a process can ask, by what is in its environment."""

from __future__ import annotations

import pytest

from stepfold.providers.gate import Gated
from stepfold.providers.models import find
from stepfold.providers.scripted import ScriptedModel
from stepfold.routing import Server
from stepfold.settings import hosted as module
from stepfold.settings.hosted import Reachable, hosted, missing

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
