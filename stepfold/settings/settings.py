"""Where stepfold runs: read once, from the environment, at the edge.

    NATS_URL              an existing server or cluster; without it an embedded one is used
    STEPFOLD_DATA_DIR     the folder of the embedded server, the views and the knowledge (.stepfold)
    STEPFOLD_DURABILITY   interval (embedded default), always, replicas
    STEPFOLD_PRICES       a file of prices that go before those of genai-prices (prices.toml in the
                          folder, if there is one)

The keys of providers are in `hosted.py`.

The files that people write are read by the other modules here.

    SettingsError    a value that means nothing, in the environment or in a file
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from msgspec import Struct

from stepfold.streams.config import Durability

FOLDER = ".stepfold"
PRICES = "prices.toml"
SCHEMES = ("nats", "tls", "ws", "wss")


class SettingsError(Exception):
    """A value that means nothing."""


class Settings(Struct, frozen=True):
    """`nats_url` empty = the embedded server of `folder`."""

    folder: Path
    nats_url: str = ""
    durability: Durability = "interval"
    prices: Path | None = None

    @property
    def knowledge(self) -> Path:
        """The folder of the library."""
        return self.folder / "knowledge"

    @property
    def views(self) -> Path:
        """The DuckDB file of the views."""
        return self.folder / "views.duckdb"


def read(environment: Mapping[str, str] = os.environ, *, folder: Path | None = None) -> Settings:
    """The settings of this process; `folder`, when given, wins over the environment."""
    durability = environment.get("STEPFOLD_DURABILITY", "interval")
    if durability not in get_args(Durability):
        known = ", ".join(get_args(Durability))
        raise SettingsError(f"STEPFOLD_DURABILITY={durability!r} is unknown (known: {known})")
    nats_url = environment.get("NATS_URL", "")
    scheme, separator, _ = nats_url.partition("://")
    if separator and scheme not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise SettingsError(
            f"NATS_URL begins with {scheme}://, a NATS server's with one of {known}"
        )
    here = (folder or Path(environment.get("STEPFOLD_DATA_DIR") or FOLDER)).absolute()
    return Settings(
        folder=here,
        nats_url=nats_url,
        durability=cast(Durability, durability),
        prices=_prices(environment.get("STEPFOLD_PRICES", ""), here / PRICES),
    )


def _prices(told: str, own: Path) -> Path | None:
    """One that was told of must be there; reading it says so."""
    if told:
        return Path(told).absolute()
    return own if own.exists() else None
