"""Who a connection's requests come from. The model never sees it, and no event holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from stepfold.tools.secrets import SecretMissing, expand
from stepfold.tools.tool import ToolError


class Credentials(Protocol):
    async def headers(self, customer: str) -> dict[str, str]:
        """What goes with a request for that customer. ToolError: there is nothing to go with it."""
        ...


@runtime_checkable
class Renewing(Credentials, Protocol):
    """What credentials that grow old also have."""

    async def rejected(self, customer: str, sent: Mapping[str, str]) -> dict[str, str] | None:
        """The server answered 401 to `sent`: what to try once more with; None: nothing else."""
        ...


class StaticHeaders:
    """The same for every customer. The values may name variables, `${env:NAME}`, which are read
    each time; `place` says where they are written, for errors.
    """

    def __init__(
        self, values: Mapping[str, str], environment: Mapping[str, str], *, place: str = ""
    ) -> None:
        self._values = values
        self._environment = environment
        self._place = place

    def __repr__(self) -> str:
        return f"StaticHeaders({', '.join(self._values)})"

    async def headers(self, customer: str) -> dict[str, str]:
        return expanded(self._values, self._environment, self._place)


def expanded(
    values: Mapping[str, str], environment: Mapping[str, str], place: str
) -> dict[str, str]:
    try:
        return {
            name: expand(value, environment, place=f"{place}: {name}" if place else name)
            for name, value in values.items()
        }
    except SecretMissing as error:
        raise ToolError(str(error)) from None
