"""By which model: a table of routes, facts in, candidates with reasons out. Pure."""

from stepfold.routing.route import Facts, Pick, Routing, route
from stepfold.routing.table import (
    Can,
    Candidate,
    Conditions,
    Need,
    Route,
    Routes,
    Server,
    ServerKind,
    decode_routes,
    digest,
    encode_routes,
)

__all__ = [
    "Can",
    "Candidate",
    "Conditions",
    "Facts",
    "Need",
    "Pick",
    "Route",
    "Routes",
    "Routing",
    "Server",
    "ServerKind",
    "decode_routes",
    "digest",
    "encode_routes",
    "route",
]
