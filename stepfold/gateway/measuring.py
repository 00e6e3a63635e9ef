"""The gateway's own numbers: requests by door and status, how long until the answer began."""

from __future__ import annotations

from starlette.types import Scope

from stepfold.observability.numbers import OTHER, Family, Numbers

REQUESTS = Family(
    "stepfold_http_requests", "counter", "Requests answered.", ("method", "path", "status")
)
SECONDS = Family(
    "stepfold_http_seconds",
    "histogram",
    "From a request to the first byte of its answer.",
    ("method", "path"),
)
STREAMS = Family("stepfold_http_streams", "gauge", "Streams that are open.", ())
FAMILIES = (REQUESTS, SECONDS, STREAMS)
PATH = "stepfold.path"
"""A scope's path as the table of doors has it, never as it was asked."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Measured:
    def __init__(self) -> None:
        self.numbers = Numbers(FAMILIES)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER
        path = scope.get(PATH, OTHER)
        self.numbers.add(REQUESTS, (method, path, str(status)))
        self.numbers.observe(SECONDS, (method, path), seconds)
