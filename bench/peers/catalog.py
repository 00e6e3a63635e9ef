"""Which peers there are, and the module that knows each; libraries are imported when asked for.

PeerError
├── UnknownPeer     no such name
└── PeerAbsent      its library is not installed here
"""

from importlib import import_module

from bench.peers.peer import Peer

CATALOG = {
    "langgraph-sqlite": "langgraph",
    "langgraph-sqlite-delta": "langgraph",
    "langgraph-sqlite-func": "langgraph",
    "langgraph-postgres": "langgraph",
    "langgraph-postgres-delta": "langgraph",
    "langgraph-postgres-func": "langgraph",
    "langgraph-memory": "langgraph",
    "pydantic-dbos-sqlite": "pydantic_dbos",
    "pydantic-dbos-sqlite-slim": "pydantic_dbos",
    "pydantic-dbos-postgres": "pydantic_dbos",
    "pydantic-dbos-postgres-slim": "pydantic_dbos",
    "openai-agents-sqlite": "openai_agents",
}


class PeerError(Exception):
    """A peer that cannot be had."""


class UnknownPeer(PeerError):
    """No such name."""


class PeerAbsent(PeerError):
    """Its library is not installed in this environment."""


def peer_named(name: str) -> Peer:
    """The peer, its library imported."""
    if name not in CATALOG:
        raise UnknownPeer(f"peer {name!r}: unknown (known: {', '.join(CATALOG)})")
    try:
        module = import_module(f"bench.peers.{CATALOG[name]}")
    except ModuleNotFoundError as missing:
        raise PeerAbsent(
            f"peer {name!r}: {missing} (make bench builds an environment with it)"
        ) from missing
    peers: dict[str, Peer] = {peer.name: peer for peer in module.PEERS}
    return peers[name]
