"""Where a connection's requests go: the URL comes from the description or from whoever connects,
its variables from the configuration, nothing of it from a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from stepfold.tools.openapi.findings import Findings, within
from stepfold.tools.openapi.operation import Scheme, Server
from stepfold.tools.openapi.reading import Json
from stepfold.tools.openapi.references import LostReference, References, RemoteReference

VARIABLE = re.compile(r"\{([^{}]*)\}")
VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,200}[A-Za-z0-9])?")
"""What a variable may be: it can begin no other host, path or query."""


class ServerUnknown(Exception):
    """There is no URL; the text says why, and the way out."""


def servers(document: Json, findings: Findings) -> tuple[Server, ...]:
    """Those of the whole description."""
    told = document.get("servers")
    if not isinstance(told, list) or not told:
        findings.note("#/servers", "no server is described", "--server URL names it")
        return ()
    found = []
    for number, each in enumerate(told):
        place = within("#/servers", number)
        url = each.get("url") if isinstance(each, dict) else None
        if not isinstance(url, str):
            findings.note(place, "a server without a url", "left out")
        elif not urlsplit(VARIABLE.sub("x", url)).netloc:
            findings.note(place, f"{url!r} has no host", "--server URL names it")
        else:
            found.append(_server(url, each.get("variables"), place, findings))
    return tuple(found)


def _server(url: str, told: Any, place: str, findings: Findings) -> Server:
    variables: dict[str, str] = {}
    allowed: dict[str, tuple[str, ...]] = {}
    for name, each in told.items() if isinstance(told, dict) else ():
        variable = each if isinstance(each, dict) else {}
        if isinstance(variable.get("enum"), list):
            allowed[name] = tuple(str(value) for value in variable["enum"])
        if variable.get("default") not in (None, ""):
            variables[name] = str(variable["default"])
    for name in VARIABLE.findall(url):
        if name not in variables:
            done = f"variables = {{ {name} = … }} in the connection's file says it"
            findings.note(place, f"variable {{{name}}} has no default", done)
    return Server(url.rstrip("/"), variables, allowed)


def filled(server: Server, values: Mapping[str, str]) -> str:
    """The URL. ServerUnknown: a variable has no value, or one that it may not have."""
    given = {**server.variables, **values}

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in given:
            raise ServerUnknown(f"{server.url}: nobody says what {{{name}}} is")
        allowed = server.allowed.get(name)
        if allowed and given[name] not in allowed:
            known = ", ".join(allowed)
            raise ServerUnknown(f"{server.url}: {name} = {given[name]!r} (known: {known})")
        if not VALUE.fullmatch(given[name]):
            why = "letters, digits, . _ ~ and - only"
            raise ServerUnknown(f"{server.url}: {name} = {given[name]!r}: {why}")
        return given[name]

    return VARIABLE.sub(value, server.url).rstrip("/")


def schemes(document: Json, references: References, findings: Findings) -> tuple[Scheme, ...]:
    """How callers show who they are."""
    components = document.get("components")
    told = components.get("securitySchemes") if isinstance(components, dict) else None
    found = []
    for name, value in told.items() if isinstance(told, dict) else ():
        place = within("#/components/securitySchemes", name)
        try:
            each, _ = references.follow(value, place)
        except (LostReference, RemoteReference) as error:
            findings.note(place, str(error), "left out")
            continue
        if isinstance(each, dict) and isinstance(each.get("type"), str):
            found.append(_scheme(name, each))
        else:
            findings.note(place, "a security scheme without a type", "left out")
    return tuple(found)


def _scheme(name: str, told: Json) -> Scheme:
    flows = told.get("flows") if isinstance(told.get("flows"), dict) else {}
    flow, details = next(iter(flows.items()), ("", {})) if flows else ("", {})
    details = details if isinstance(details, dict) else {}
    scopes = details.get("scopes")
    return Scheme(
        name,
        told["type"],
        _text(told.get("name")),
        _text(told.get("in")),
        _text(told.get("scheme")).lower(),
        flow,
        _text(details.get("authorizationUrl")),
        _text(details.get("tokenUrl")),
        tuple(map(str, scopes)) if isinstance(scopes, dict) else (),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
