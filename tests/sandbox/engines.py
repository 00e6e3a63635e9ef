"""A look-alike of a container engine: it answers as docker does, and runs what it is told to run in
a folder instead of a container. Harmless code only.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!/bin/sh
here={folder}
echo "$*" | cut -c1-2000 >> "$here/asked"
case "$1" in
info) echo '{{"Runtimes": {{"runc": {{}}{more}}}}}' ;;
image) [ "$3" = "{image}" ] || {{ echo "No such image: $3" >&2; exit 1; }} ;;
rm) ;;
run)
    while [ "$1" != "{image}" ]; do shift; done
    shift 2
    work=$(mktemp -d "$here/work.XXXXXX") && cd "$work" && exec {python} "$@" ;;
*) exit 125 ;;
esac
"""


def engine(folder: Path, *, image: str, gvisor: bool = False) -> Path:
    """Its path. What it was asked stands in `asked` beside it, a command a line."""
    program = folder / "docker"
    text = _PROGRAM.format(
        folder=folder,
        image=image,
        python=sys.executable,
        more=', "runsc": {}' if gvisor else "",
    )
    program.write_text(text)
    program.chmod(0o755)
    return program


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()
