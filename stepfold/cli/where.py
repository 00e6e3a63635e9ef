"""Where the log is that a command reads: a mistyped folder is told, not made."""

from __future__ import annotations

from pathlib import Path

from stepfold import settings
from stepfold.cli.exits import CommandRefused
from stepfold.settings import Settings


def existing(data: Path | None) -> Settings:
    """The settings of a log that is there; refused where the folder that would hold it is not."""
    here = settings.read(folder=data)
    if not here.nats_url and not here.folder.is_dir():
        raise CommandRefused(
            f"there is no log in {here.folder}: name its folder with --data or STEPFOLD_DATA_DIR,"
            " or begin one with `stepfold dev` or `stepfold serve`"
        )
    return here
