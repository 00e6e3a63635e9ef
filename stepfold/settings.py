"""Where stepfold runs: read once, from the environment, at the edge.

    NATS_URL              an existing server or cluster; without it an embedded one is used
    STEPFOLD_DATA_DIR     the folder of the embedded server, the views and the knowledge (.stepfold)
    STEPFOLD_DURABILITY   interval (embedded default), always, replicas

    SettingsError    a value that means nothing
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from msgspec import Struct

from stepfold.streams.config import Durability

FOLDER = ".stepfold"


class SettingsError(Exception):
    """A value in the environment that means nothing."""


class Settings(Struct, frozen=True):
    """`nats_url` empty = the embedded server of `folder`."""

    folder: Path
    nats_url: str = ""
    durability: Durability = "interval"


def read(environment: Mapping[str, str] = os.environ, *, folder: Path | None = None) -> Settings:
    """The settings of this process; `folder`, when given, wins over the environment."""
    durability = environment.get("STEPFOLD_DURABILITY", "interval")
    if durability not in get_args(Durability):
        known = ", ".join(get_args(Durability))
        raise SettingsError(f"STEPFOLD_DURABILITY={durability!r} is unknown (known: {known})")
    return Settings(
        folder=(folder or Path(environment.get("STEPFOLD_DATA_DIR") or FOLDER)).absolute(),
        nats_url=environment.get("NATS_URL", ""),
        durability=cast(Durability, durability),
    )
