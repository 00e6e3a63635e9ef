"""The command line of bubblewrap: a machine with one Python in it and nothing else.

No network, no /proc, no shell, no other program; read-only but for a working folder of limited
size. A worker that is root first becomes nobody in particular: root of the machine may not be what
code runs as, under whatever name.
"""

from __future__ import annotations

import os
import secrets
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

USER = 1_000
"""Who the code is, inside."""
_USERS_FIRST, _USERS = 0x6000_0000, 0x1000_0000
"""Who that is on the machine when the worker is root: another one each time."""
SHARED_BYTES = 1_000_000
_HOME = "/python"
_AISLE = "/mnt"
"""Where root puts, in a mount namespace of its own, what only root could reach."""


class Programs(Struct, frozen=True):
    """`become` is setpriv; needed, and else empty, when the worker is root."""

    bubblewrap: str
    become: str


class _Place(Struct, frozen=True):
    source: str
    target: str


def command(
    programs: Programs, inside: Sequence[str], *, files_bytes: int, filter: int
) -> tuple[str, ...]:
    """What runs `inside` the sandbox; `filter` is the descriptor of a seccomp program."""
    places = tuple(_python())
    if not programs.become:
        return (*_sandbox(programs, places, files_bytes, filter), *inside)
    aisle = tuple(_Place(each.source, f"{_AISLE}/{index}") for index, each in enumerate(places))
    moved = tuple(
        _Place(near.target, each.target) for near, each in zip(aisle, places, strict=True)
    )
    return (*_as_nobody(programs, aisle), *_sandbox(programs, moved, files_bytes, filter), *inside)


def python() -> str:
    """The interpreter, as it is called inside."""
    return f"{_HOME}/bin/python3"


def _as_nobody(programs: Programs, places: Sequence[_Place]) -> Iterator[str]:
    """Root puts what the sandbox is built from where anybody can read it, and lets go of itself.

    In a process namespace of its own: the sandbox dies with its first process, whatever happens.
    """
    yield programs.bubblewrap
    yield from ("--die-with-parent", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc")
    yield from ("--tmpfs", _AISLE, "--chmod", "0755", _AISLE)
    yield from _bound(places)
    user = _USERS_FIRST + secrets.randbelow(_USERS)
    yield from ("--", programs.become, f"--reuid={user}", f"--regid={user}", "--clear-groups")
    yield from ("--inh-caps=-all", "--bounding-set=-all", "--")


def _sandbox(
    programs: Programs, places: Sequence[_Place], files_bytes: int, filter: int
) -> Iterator[str]:
    yield programs.bubblewrap
    yield from ("--unshare-all", "--unshare-user", "--uid", str(USER), "--gid", str(USER))
    yield from ("--disable-userns", "--die-with-parent", "--new-session", "--clearenv")
    yield from ("--hostname", "sandbox", "--cap-drop", "ALL", "--seccomp", str(filter))
    yield from _bound(places)
    yield from _libraries()
    yield from ("--dev", "/dev")
    yield from ("--size", str(SHARED_BYTES), "--tmpfs", "/dev/shm")
    yield from ("--size", str(_rounded(files_bytes)), "--tmpfs", "/work")
    yield from ("--size", str(SHARED_BYTES), "--tmpfs", "/tmp")
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work")
    for name, value in _ENVIRONMENT.items():
        yield from ("--setenv", name, value)
    yield "--"


_ENVIRONMENT = {
    "HOME": "/work",
    "LANG": "C.UTF-8",
    "LD_LIBRARY_PATH": f"{_HOME}/lib",
    "MALLOC_ARENA_MAX": "1",  # else each thread reserves 64 MB of the memory that it may have
    "TMPDIR": "/tmp",
}


def _bound(places: Sequence[_Place]) -> Iterator[str]:
    for place in places:
        yield from ("--ro-bind", place.source, place.target)


def _python() -> Iterator[_Place]:
    """This interpreter and its standard library, without the packages that are installed in it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home, library = Path(_HOME), sysconfig.get_path("stdlib")
    yield _Place(os.path.realpath(sys.executable), python())
    yield _Place(library, str(home / "lib" / version))
    shared = sysconfig.get_config_var("INSTSONAME")
    folder = sysconfig.get_config_var("LIBDIR")
    if shared and folder and ".so" in shared and (Path(folder) / shared).is_file():
        yield _Place(os.path.realpath(Path(folder) / shared), str(home / "lib" / shared))


def _libraries() -> Iterator[str]:
    """The system's shared libraries, and nothing over the packages beside Python's own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = f"lib/{version}/site-packages"
    if (Path(sysconfig.get_path("stdlib")) / "site-packages").is_dir():
        yield from ("--tmpfs", f"{_HOME}/{packages}", "--remount-ro", f"{_HOME}/{packages}")
    triplet = sysconfig.get_config_var("MULTIARCH")
    own = (f"/lib/{triplet}", f"/usr/lib/{triplet}") if triplet else ()
    for folder in (*own, "/lib64", "/usr/lib64"):
        if Path(folder).is_dir():
            yield from ("--ro-bind", os.path.realpath(folder), folder)


def _rounded(size: int) -> int:
    """A page for the folder itself, and whole pages."""
    page = os.sysconf("SC_PAGE_SIZE")
    return (size // page + 2) * page
