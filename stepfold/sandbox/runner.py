"""The program inside: reads a request, runs the code in its own interpreter, writes one reply.

It runs with `python -c` where nothing of stepfold is, so it knows the standard library alone. What
it reports is the code's own word, for the code can change all that is here; the limits are the
kernel's and the parent's. Request on stdin and reply on stdout are a line of JSON and the bytes of
the files; what the code prints goes to stderr.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import json
import os
import resource
import stat
import sys
import types

TYPE_CHECKING = False  # typing is slow to import, and nothing of it is used here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

    Said = dict[str, Any]
    """The reply's line; see `exchange.py`."""

MAIN = "main.py"
REASON_MAX = LINE_MAX = 500
OUT_OF = {
    errno.ENOSPC: "files",
    errno.EFBIG: "files",
    errno.EDQUOT: "files",
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes",
}


class Reached(Exception):
    """A limit, and what about it."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(outcome, reason)
        self.outcome, self.reason = outcome, reason


def main() -> None:
    request, files = read_request(sys.stdin.buffer)
    reply = os.fdopen(os.dup(1), "wb", closefd=False)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    put(files)
    limit(request["rlimits"])
    first = os.getpid()
    said = run(request["code"])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    if os.getpid() != first:
        os._exit(0)  # a fork of the code's own: only the first process replies
    said, content = collect(request, said)
    reply.write(json.dumps(said).encode() + b"\n")
    reply.writelines(content)
    reply.flush()
    os._exit(0)  # no exit handler, and no wait for a thread that never ends


def read_request(stream: BinaryIO) -> tuple[Mapping[str, Any], Mapping[str, bytes]]:
    request = json.loads(stream.readline())
    return request, {name: stream.read(size) for name, size in request["files"]}


def put(files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(content)


def limit(wanted: Mapping[str, int]) -> None:
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))


def run(text: str) -> Said:
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        tree = ast.parse(text, MAIN)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, MAIN, "exec"), module.__dict__)
        if not isinstance(last, ast.Expr):
            return {"outcome": "ok"}
        value = eval(compile(ast.Expression(last.value), MAIN, "eval"), module.__dict__)
        return {"outcome": "ok", "result": value}
    except SystemExit as error:
        if error.code in {None, 0}:
            return {"outcome": "ok"}
        return {"outcome": "error", "reason": f"SystemExit: {error.code}"[:REASON_MAX]}
    except BaseException as error:  # noqa: BLE001
        return failed(error, text)


def failed(error: BaseException, text: str) -> Said:
    """The traceback goes to the output, as Python prints it."""
    outcome = what(error)
    try:
        import linecache  # noqa: PLC0415  (only what fails pays for it)
        import traceback  # noqa: PLC0415

        linecache.cache[MAIN] = (len(text), None, text.splitlines(True), MAIN)
        trace = own(error.__traceback__)
        for line in traceback.format_exception(type(error), error, trace):
            sys.stderr.write(clipped(line))
        reason = traceback.format_exception_only(type(error), error)[-1].strip()
    except BaseException:  # noqa: BLE001
        reason = type(error).__name__
    return {"outcome": outcome, "reason": reason[:REASON_MAX]}


def own(trace: types.TracebackType | None) -> types.TracebackType | None:
    """From the code on: the frames of what reads and runs it are not shown."""
    while trace is not None and trace.tb_frame.f_code.co_filename != MAIN:
        trace = trace.tb_next
    return trace


def clipped(text: str) -> str:
    """A line of a program can be as long as the program."""
    return "".join(
        line if len(line) <= LINE_MAX else line[:LINE_MAX] + "...\n"
        for line in text.splitlines(True)
    )


def what(error: BaseException) -> str:
    """The limit behind an error that nobody caught, as far as an error tells."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError):
        return OUT_OF.get(error.errno or 0, "error")
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "processes"
    return "error"


def collect(request: Mapping[str, Any], said: Said) -> tuple[Said, list[bytes]]:
    """The reply's line and the contents of its files."""
    content: list[bytes] = []
    named: list[tuple[str, int]] = []
    left = request["files_bytes"]
    try:
        said["result"] = fitting(said.get("result"), request["result_bytes"])
        for name in found(request["files_max"]):
            content.append(contents(name, left))
            named.append((name, len(content[-1])))
            left -= len(content[-1])
    except Reached as reached:
        return {"outcome": reached.outcome, "reason": reached.reason}, []
    except MemoryError:
        return {"outcome": "memory", "reason": "no memory left to reply with"}, []
    except Exception as error:  # noqa: BLE001
        return {"outcome": what(error), "reason": f"no reply: {type(error).__name__}"}, []
    return {**said, "files": named}, content


def fitting(result: Any, bytes_max: int) -> Any:
    """`result` as JSON has it; what JSON has not, as its text."""
    try:
        text = json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        result = repr(result)
        text = json.dumps(result)
    if len(text) > bytes_max:
        raise Reached("output", f"the result is larger than {bytes_max} bytes")
    return json.loads(text)


def found(files_max: int) -> list[str]:
    """Regular files below the working folder; a symbolic link is none, and not followed."""
    names, count, folders = [], 0, ["."]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                if count > files_max:
                    raise Reached("files", f"more than {files_max} files and folders")
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    names.append(os.path.relpath(entry.path))
    return sorted(names)


def contents(name: str, bytes_max: int) -> bytes:
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        size = os.fstat(opened).st_size if stat.S_ISREG(os.fstat(opened).st_mode) else 0
        if size > bytes_max:
            raise Reached("files", "the files are larger than files_bytes allows")
        return file.read(size)


if __name__ == "__main__":
    main()
