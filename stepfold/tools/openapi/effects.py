"""What an operation does to the world, as far as its method and its words tell."""

from __future__ import annotations

import re

METHODS = ("get", "head", "post", "put", "patch", "delete")
UNUSED = ("options", "trace", "query", "connect")

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_ASKING = frozenset({"search", "query", "lookup", "autocomplete", "preview", "find", "count"})
_DOING = frozenset(
    {
        *("activate", "add", "approve", "archive", "cancel", "create", "delete", "destroy"),
        *("disable", "enable", "execute", "logout", "post", "publish", "purge", "reject", "remove"),
        *("renew", "reset", "restart", "revoke", "send", "set", "start", "stop", "submit"),
        *("subscribe", "suspend", "unsubscribe", "update", "upload"),
    }
)


def words(text: str) -> list[str]:
    """The words that a name or a path is made of, in small letters."""
    return [word.lower() for word in _WORD.findall(text)]


def doubt(method: str, name: str, path: str) -> str:
    """Why the method may not tell the effect; empty where there is no sign of that."""
    last = re.sub(r"\{[^}]*\}", "", path).rstrip("/").rsplit("/", 1)[-1]
    first = words(name)[:1]
    if method == "post" and _ASKING & {*words(last), *first}:
        return f"a POST that looks like a search: --read {name} if it changes nothing"
    doing = _DOING & {*first, *words(last)[-1:]}
    if method in ("get", "head") and doing:
        return f"a GET that says {', '.join(sorted(doing))}: --read {name} if it changes nothing"
    return ""
