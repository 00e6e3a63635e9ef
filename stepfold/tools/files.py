"""Tools from files: a folder of them, or one. `.toml` is an HTTP tool, `.py` what Python makes.

ToolsRefused    a file is no tool, or two have one name: every mistake with its place
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from stepfold.policy.toolspec import ToolSpec
from stepfold.tools import http
from stepfold.tools.function import FunctionRefused
from stepfold.tools.guard import PUBLIC, Reach
from stepfold.tools.http_file import HttpFileRefused, read_http
from stepfold.tools.tool import Tool

ENDINGS = (".py", ".toml")


class ToolsRefused(Exception):
    """Files that give no tools. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_tools(
    path: Path, *, environment: Mapping[str, str] = os.environ, reach: Reach = PUBLIC
) -> Sequence[Tool]:
    """The tools in a file or in the files of a folder, by name; none where there is no such folder.
    HTTP tools reach what `reach` and their own files allow. ToolsRefused names all that is wrong.
    """
    found: dict[str, tuple[Path, Tool]] = {}
    problems: list[str] = []
    for file in tool_files(path):
        try:
            tools = _load(file, environment, reach)
        except (ToolsRefused, HttpFileRefused) as error:
            problems += error.problems
            continue
        for each in tools:
            name = each.spec.name
            if each.spec.recovery == "reconcile" and not each.spec.lookup:
                how = f"write one below @{name}.reconcile"
                problems.append(f"{file}: tool {name!r} reconciles and has no lookup: {how}")
            if name in found:
                why = f"the tool {name!r} stands in {found[name][0]} already: rename one"
                problems.append(f"{file}: {why}")
            found.setdefault(name, (file, each))
    if problems:
        raise ToolsRefused(tuple(problems))
    return tuple(found[name][1] for name in sorted(found))


def load_python(path: Path) -> Sequence[Tool]:
    """The tools that a Python file makes: whatever at its top has a `spec` and can `run`. The file
    is run as a module of its own; what it imports comes from the environment, not from its folder.
    """
    module = _imported(path)
    found: dict[int, Tool] = {}
    for each in vars(module).values():
        if _is_tool(each):
            found.setdefault(id(each), each)
    if not found:
        way_out = "write @tool(effect=…) above a typed function"
        raise ToolsRefused((f"{path}:1: it makes no tool: {way_out}",))
    return tuple(found.values())


def tool_files(path: Path) -> Iterator[Path]:
    """The files in a folder that may be tools, or the one that it is."""
    if path.is_dir():
        names = (each for each in path.iterdir() if each.suffix in ENDINGS)
        yield from sorted(each for each in names if not each.name.startswith(("_", ".")))
    elif path.suffix in ENDINGS:
        yield path


def _load(file: Path, environment: Mapping[str, str], reach: Reach) -> Sequence[Tool]:
    if file.suffix == ".py":
        return load_python(file)
    return (http.tool(read_http(file, environment, reach), environment),)


def _is_tool(each: object) -> bool:
    is_class = isinstance(each, type)
    return (
        not is_class
        and isinstance(getattr(each, "spec", None), ToolSpec)
        and callable(getattr(each, "run", None))
    )


def _imported(path: Path) -> ModuleType:
    name = f"stepfold_tools_{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ToolsRefused((f"{path}: it is no Python file",))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints are looked up there
    try:
        spec.loader.exec_module(module)
    except FunctionRefused as error:
        del sys.modules[name]
        raise ToolsRefused(error.problems) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ToolsRefused((_place(path, error),)) from error
    return module


def _place(path: Path, error: BaseException) -> str:
    """The last line of the file that the error went through."""
    line = 1
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno or 1
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno or 1 for f in reversed(frames) if f.filename == str(path)), 1)
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{path}:{line}: {type(error).__name__}: {what}"
