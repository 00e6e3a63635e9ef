"""Secrets in files of tools: named there as `${env:NAME}`, read when a request leaves, and taken
out of whatever comes back.

SecretMissing    a variable that a file names is not set
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET_CHARS_MIN = 4
"""What is shorter is found in any text by chance, so it is not searched for."""


class SecretMissing(Exception):
    """Names the variable and where it is named; never a value."""


def named(text: str) -> tuple[str, ...]:
    """The variables that a text refers to."""
    return tuple(REFERENCE.findall(text))


def expand(text: str, environment: Mapping[str, str], *, place: str = "") -> str:
    """`text` with each `${env:NAME}` replaced by the variable's value. `place` is the file, line
    and key, for the error. A variable that is empty counts as not set.
    """
    for name in named(text):
        if not environment.get(name):
            at = f"{place}: " if place else ""
            way_out = f"set it (export {name}=…) and start again"
            raise SecretMissing(f"{at}the variable {name} is not set: {way_out}")
    return REFERENCE.sub(lambda found: environment[found[1]], text)


def hidden(value: Any, names: Iterable[str], environment: Mapping[str, str]) -> Any:
    """JSON in which the variables' values are replaced by their names, keys included."""
    told = {environment[name]: name for name in names if environment.get(name)}
    secrets = {secret: name for secret, name in told.items() if len(secret) >= SECRET_CHARS_MIN}
    return _hidden(value, secrets) if secrets else value


def _hidden(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, f"[{secrets[secret]}]")
        return value
    if isinstance(value, dict):
        return {_hidden(key, secrets): _hidden(each, secrets) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each, secrets) for each in value]
    return value
