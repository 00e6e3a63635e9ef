"""Where the requests of each customer go, and what goes with them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from stepfold.tools.guard import ReachRefused, target
from stepfold.tools.openapi.connection import Auth, Connection, Customer
from stepfold.tools.openapi.credentials import Credentials, expanded
from stepfold.tools.openapi.openapi_tool import Way
from stepfold.tools.openapi.operation import Catalogue, Server
from stepfold.tools.openapi.servers import VARIABLE, ServerUnknown, filled
from stepfold.tools.secrets import hidden, named
from stepfold.tools.tool import Caller, ToolError


class ConnectionWays:
    """The ways of a connection. Where customers are listed, the others go by what stands outside
    their tables, if that is enough to go anywhere.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        catalogue: Catalogue,
        environment: Mapping[str, str],
        oauth: Credentials | None = None,
    ) -> None:
        self._name = name
        self._connection = connection
        self._catalogue = catalogue
        self._environment = environment
        self._oauth = oauth
        self._secrets = tuple(secrets_of(connection))

    def __call__(self, who: Caller) -> Way:
        own = self._connection.customers.get(who.customer, Customer())
        try:
            url = self.url(who.customer)
        except ServerUnknown as error:
            raise ToolError(
                f"connection {self._name!r} is not set up for customer {who.customer!r}: {error}"
            ) from None
        auth = own.auth or self._connection.auth
        headers = {**self._connection.headers, **own.headers}
        told = expanded(headers, self._environment, self._name)
        query: dict[str, str] = {}
        if auth is not None:
            self._show(auth, told, query)
        credentials = self._oauth if own.auth is None else None
        return Way(url, credentials, told, query, self._hidden(told))

    def url(self, customer: str) -> str:
        """ServerUnknown: nobody says where to go."""
        own = self._connection.customers.get(customer, Customer())
        return filled(self._server(own), {**self._connection.variables, **own.variables})

    def _server(self, own: Customer) -> Server:
        told = own.server or self._connection.server
        described = self._catalogue.servers
        if told:
            same = next((server for server in described if server.url == told.rstrip("/")), None)
            return same or Server(told.rstrip("/"))
        if not described:
            raise ServerUnknown('no server is known: write server = "https://…"')
        return described[0]

    def _show(self, auth: Auth, headers: dict[str, str], query: dict[str, str]) -> None:
        place = f"connection {self._name}: auth"
        keys = {key: getattr(auth, key) for key in Auth.__struct_fields__}
        told = expanded(keys, self._environment, place)
        match auth.kind:
            case "bearer":
                headers["Authorization"] = f"Bearer {told['token']}"
            case "basic":
                pair = f"{told['user']}:{told['password']}".encode()
                headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
            case "header":
                headers[told["name"]] = told["value"]
            case _:
                query[told["name"]] = told["value"]

    def _hidden(self, headers: Mapping[str, str]) -> Callable[[Any], Any]:
        """What takes the secrets out of an answer: also as they were sent."""
        known = {name: self._environment.get(name, "") for name in self._secrets}
        sent = headers.get("Authorization", "").rpartition(" ")[2]
        known["Authorization"] = sent
        return partial(hidden, names=tuple(known), environment=known)


def unknown(connection: Connection, catalogue: Catalogue) -> Iterator[str]:
    """Why nobody can be served, or not a customer that is listed, as far as no network tells."""
    ways = ConnectionWays("", connection, catalogue, {})
    for customer in connection.customers or [""]:
        try:
            target(ways.url(customer), connection.reach)
        except (ReachRefused, ServerUnknown) as error:
            yield f"customer {customer!r}: {error}" if customer else str(error)


def variables(server: str) -> tuple[str, ...]:
    return tuple(VARIABLE.findall(server))


def secrets_of(connection: Connection) -> Iterator[str]:
    """The variables of the environment that a connection names."""
    tables: list[Connection | Customer] = [connection, *connection.customers.values()]
    for each in tables:
        texts = [*each.headers.values()]
        if each.auth is not None:
            texts += [getattr(each.auth, key) for key in Auth.__struct_fields__]
        for text in texts:
            yield from named(text)
