"""The providers that this process can ask: those whose keys are in its environment.

    openai       OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID
    anthropic    ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL
    google       GEMINI_API_KEY or GOOGLE_API_KEY, GOOGLE_GEMINI_BASE_URL
    vertex       GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION, Google's default credentials,
                 GOOGLE_VERTEX_BASE_URL
    cohere       CO_API_KEY or COHERE_API_KEY, CO_API_URL

and the servers that the routes name. Nothing is imported and nothing connects until it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec

from msgspec import Struct
from msgspec.structs import replace

from stepfold.providers.anthropic import Anthropic
from stepfold.providers.cohere import Cohere, CohereEmbedder, CohereReranker
from stepfold.providers.embedder import Embedder
from stepfold.providers.gate import AT_ONCE, Gated
from stepfold.providers.google import Google, GoogleEmbedder, Key, Project
from stepfold.providers.hashing import NAME as HASHING
from stepfold.providers.hashing import HashingEmbedder
from stepfold.providers.model import Model
from stepfold.providers.openai import OpenAI, OpenAIEmbedder
from stepfold.providers.overlap import NAME as OVERLAP
from stepfold.providers.overlap import OverlapReranker
from stepfold.providers.reranker import Reranker
from stepfold.routing import Server, ServerKind

Environment = Mapping[str, str]
KEYS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "vertex": ("GOOGLE_CLOUD_PROJECT",),
    "cohere": ("CO_API_KEY", "COHERE_API_KEY"),
}
"""What makes a provider one of ours, any of these."""
SDKS: Mapping[str, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google.genai",
    "vertex": "google.genai",
    "cohere": "cohere",
}


class Hosted(Struct, frozen=True):
    """Each by the name of its provider; what needs no key, by its own."""

    models: Mapping[str, Model]
    embedders: Mapping[str, Embedder]
    rerankers: Mapping[str, Reranker]


def hosted(environment: Environment = os.environ) -> Hosted:
    """Each model stands behind a gate, so that a provider in trouble is left alone for a while."""
    have = [name for name in KEYS if _first(environment, *KEYS[name]) and _installed(name)]
    return Hosted(
        models={name: Gated(_MODELS[name](environment), name) for name in have},
        embedders={
            HASHING: HashingEmbedder(),
            **{name: _EMBEDDERS[name](environment) for name in have if name in _EMBEDDERS},
        },
        rerankers={
            OVERLAP: OverlapReranker(),
            **{name: _RERANKERS[name](environment) for name in have if name in _RERANKERS},
        },
    )


def missing(model: str, environment: Environment = os.environ) -> str:
    """What to do so that `provider/model` can be asked; empty when that is not the trouble."""
    provider, slash, _ = model.partition("/")
    if not slash or provider not in KEYS:
        return ""
    if not _installed(provider):
        extra = "google" if provider == "vertex" else provider
        return f"pip install 'stepfold[{extra}]'"
    if not _first(environment, *KEYS[provider]):
        return f"set {' or '.join(KEYS[provider])}"
    return ""


class Reachable(Mapping[str, Model]):
    """What a process can ask: `own`, else the servers of the routes as they are now. A server's key
    is read when it is first asked. The gate before each lets through what the routes say now.
    """

    def __init__(
        self,
        own: Mapping[str, Model],
        servers: Callable[[], Mapping[str, Server]],
        environment: Environment = os.environ,
    ) -> None:
        self._own = own
        self._servers = servers
        self._environment = environment
        self._made: dict[tuple[str, Server], Model] = {}

    def __getitem__(self, name: str) -> Model:
        server = self._servers().get(name)
        model = self._own[name] if name in self._own else self._server(name, server)
        if isinstance(model, Gated):
            model.at_once = server.at_once if server and server.at_once else AT_ONCE
        return model

    def __iter__(self) -> Iterator[str]:
        named = (name for name, server in self._servers().items() if server.kind != SHIPPED)
        return iter(dict.fromkeys((*self._own, *named)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _server(self, name: str, server: Server | None) -> Model:
        """Its gate stays when only `at_once` changes."""
        if server is None or server.kind == SHIPPED:
            raise KeyError(name)
        key = (name, replace(server, at_once=0))
        if key not in self._made:
            self._made[key] = Gated(self._make(name, server), name)
        return self._made[key]

    def _make(self, name: str, server: Server) -> Model:
        api_key = self._environment.get(server.key_env, "") or NO_KEY
        return OpenAI(api_key=api_key, base_url=server.base_url, name=name, dialect="chat")


SHIPPED: ServerKind = "shipped"
"""A provider of this file, of which the routes only say how many calls go out at once."""
NO_KEY = "none"
"""For a server of one's own that wants no key, where its SDK demands one."""


def _openai(environment: Environment) -> Model:
    return OpenAI(
        api_key=_first(environment, *KEYS["openai"]),
        base_url=environment.get("OPENAI_BASE_URL", ""),
        organization=environment.get("OPENAI_ORG_ID", ""),
    )


def _openai_embedder(environment: Environment) -> Embedder:
    return OpenAIEmbedder(
        api_key=_first(environment, *KEYS["openai"]),
        base_url=environment.get("OPENAI_BASE_URL", ""),
        organization=environment.get("OPENAI_ORG_ID", ""),
    )


def _anthropic(environment: Environment) -> Model:
    return Anthropic(
        api_key=_first(environment, *KEYS["anthropic"]),
        base_url=environment.get("ANTHROPIC_BASE_URL", ""),
    )


def _google(environment: Environment) -> Model:
    key = Key(_first(environment, *KEYS["google"]))
    return Google(key, base_url=environment.get("GOOGLE_GEMINI_BASE_URL", ""))


def _google_embedder(environment: Environment) -> Embedder:
    key = Key(_first(environment, *KEYS["google"]))
    return GoogleEmbedder(key, base_url=environment.get("GOOGLE_GEMINI_BASE_URL", ""))


def _vertex(environment: Environment) -> Model:
    return Google(_project(environment), base_url=environment.get("GOOGLE_VERTEX_BASE_URL", ""))


def _vertex_embedder(environment: Environment) -> Embedder:
    url = environment.get("GOOGLE_VERTEX_BASE_URL", "")
    return GoogleEmbedder(_project(environment), base_url=url)


def _project(environment: Environment) -> Project:
    project = _first(environment, *KEYS["vertex"])
    location = environment.get("GOOGLE_CLOUD_LOCATION", "")
    return Project(project, location) if location else Project(project)


def _cohere(environment: Environment) -> Model:
    return Cohere(api_key=_first(environment, *KEYS["cohere"]), base_url=_cohere_url(environment))


def _cohere_embedder(environment: Environment) -> Embedder:
    key = _first(environment, *KEYS["cohere"])
    return CohereEmbedder(api_key=key, base_url=_cohere_url(environment))


def _cohere_reranker(environment: Environment) -> Reranker:
    key = _first(environment, *KEYS["cohere"])
    return CohereReranker(api_key=key, base_url=_cohere_url(environment))


def _cohere_url(environment: Environment) -> str:
    return environment.get("CO_API_URL", "")


def _first(environment: Environment, *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _installed(provider: str) -> bool:
    try:
        return find_spec(SDKS[provider]) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


_MODELS: Mapping[str, Callable[[Environment], Model]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "google": _google,
    "vertex": _vertex,
    "cohere": _cohere,
}
_EMBEDDERS: Mapping[str, Callable[[Environment], Embedder]] = {
    "openai": _openai_embedder,
    "google": _google_embedder,
    "vertex": _vertex_embedder,
    "cohere": _cohere_embedder,
}
_RERANKERS: Mapping[str, Callable[[Environment], Reranker]] = {"cohere": _cohere_reranker}
