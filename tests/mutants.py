"""Mutants of `decide`, of what it asks, and of `evolve`: each must make a core test fail.

    python -m tests.mutants [--file handlers/decide] [--only TEXT] [--processes 2]

Each mutant runs the core tests in a fork of its own, with a time limit (an endless loop is a kill).
Those that cannot be told apart from the original are listed in `mutants_equivalent.toml`, with the
reason; an entry there that is killed, or that no mutant matches, is an error too.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import copy
import difflib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar

import hypothesis
import jsonschema
import msgspec
import pytest
import pytest_asyncio
import pytest_timeout  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.toml")
TARGETS = {
    "stepfold.handlers.decide": ROOT / "stepfold/handlers/decide.py",
    "stepfold.handlers.answering": ROOT / "stepfold/handlers/answering.py",
    "stepfold.handlers.choosing": ROOT / "stepfold/handlers/choosing.py",
    "stepfold.handlers.jobs": ROOT / "stepfold/handlers/jobs.py",
    "stepfold.policy.gate": ROOT / "stepfold/policy/gate.py",
    "stepfold.policy.grants": ROOT / "stepfold/policy/grants.py",
    "stepfold.policy.taint": ROOT / "stepfold/policy/taint.py",
    "stepfold.projections.agreements": ROOT / "stepfold/projections/agreements.py",
    "stepfold.projections.conversation": ROOT / "stepfold/projections/conversation.py",
    "stepfold.projections.outcomes": ROOT / "stepfold/projections/outcomes.py",
    "stepfold.projections.state": ROOT / "stepfold/projections/state.py",
    "stepfold.routing.route": ROOT / "stepfold/routing/route.py",
}
TESTS = (
    "tests/handlers/test_answering.py",
    "tests/handlers/test_decide.py",
    "tests/handlers/test_decide_attempts.py",
    "tests/handlers/test_decide_grants.py",
    "tests/handlers/test_decide_routes.py",
    "tests/handlers/test_jobs.py",
    "tests/handlers/test_approvals.py",
    "tests/policy/test_policy_gate.py",
    "tests/projections/test_conversation.py",
    "tests/projections/test_conversation_agreements.py",
    "tests/projections/test_conversation_asks.py",
    "tests/routing/test_route.py",
)
FIXED = "not hypothesis"  # what chance finds today it may not find tomorrow
WITHOUT = ("cacheprovider", "randomly", "unraisableexception")
PLAIN = ("-x", "-q", "--tb=no", "--assert=plain", "--noconftest")
OPTIONS = (*PLAIN, *(f"-pno:{name}" for name in WITHOUT), "-m", FIXED)
LIMIT_S = 30.0
PRELOADED = (asyncio, hypothesis, jsonschema, msgspec, pytest_asyncio, pytest_timeout)
"""Imported once here and not in each fork."""

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.FloorDiv: ast.Mod,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}

COMMUTATIVE = ("max", "min", "same_person")

Change = Callable[[], None]
Name = tuple[str, str, str, str]
T = TypeVar("T")


class Mutant(NamedTuple):
    """`was` and `now` are the lines that differ; with `file` and `where` they are its name."""

    module: str
    file: str
    where: str
    was: str
    now: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.file} {self.where}\n    - {self.was}\n    + {self.now}"

    @property
    def room(self) -> str:
        return self.module.split(".")[1]

    @property
    def name(self) -> Name:
        return self.file, self.where, self.was, self.now


# -- making mutants -----------------------------------------------------------------------------


def mutants(module: str, path: Path) -> Iterator[Mutant]:
    body, file = ast.parse(path.read_text()).body, str(path.relative_to(ROOT))
    for place, statement in enumerate(body):
        for where, mutated in _mutated(statement):
            was, now = _lines(ast.unparse(statement), ast.unparse(mutated))
            if was != now:
                tree = ast.Module([*body[:place], *mutated.body, *body[place + 1 :]], [])
                yield Mutant(module, file, where, was, now, tree)


def _mutated(statement: ast.stmt) -> Iterator[tuple[str, ast.Module]]:
    """Copies of a statement of the module, each with one change, and the name of what it is in."""
    counts = [len(_changes_at(ast.Module([statement], []), n)[1]) for n in _places(statement)]
    for place, count in enumerate(counts):
        for variant in range(count):
            tree = ast.Module([copy.deepcopy(statement)], [])
            where, changes = _changes_at(tree, place)
            changes[variant]()
            yield where, ast.fix_missing_locations(tree)


def _places(statement: ast.stmt) -> range:
    return range(1 + sum(1 for _ in ast.walk(statement)))


def _changes_at(tree: ast.Module, place: int) -> tuple[str, list[Change]]:
    """The changes that the node at `place` allows, and the name of the function around it."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    node = list(ast.walk(tree))[place]
    if node is tree or _out_of_scope(node, parents):
        return "", []
    inside: ast.AST | None = node
    while inside is not None and not isinstance(inside, ast.FunctionDef | ast.ClassDef):
        inside = parents.get(inside)
    where = inside.name if inside is not None else "module"
    return where, list(_changes(node, parents))


def _lines(before: str, after: str) -> tuple[str, str]:
    diff = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    was = " ".join(line[2:].strip() for line in diff if line.startswith("- "))
    now = " ".join(line[2:].strip() for line in diff if line.startswith("+ "))
    return was, now


def _out_of_scope(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Annotations are not evaluated, imports and docstrings do nothing, decorators are not ours,
    and nothing comes to `assert_never`: the type checker proves it.
    """
    child, parent = node, parents.get(node)
    while parent is not None:
        if isinstance(child, ast.Import | ast.ImportFrom):
            return True
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            return True
        if _is_never(child):
            return True
        if child is getattr(parent, "annotation", None) or child is getattr(
            parent, "returns", None
        ):
            return True
        if child in getattr(parent, "decorator_list", ()) or child in getattr(parent, "bases", ()):
            return True
        if isinstance(parent, ast.ClassDef) and child in parent.keywords:
            return True
        if isinstance(child, ast.Assign) and isinstance(parent, ast.Module) and _is_type(child):
            return True
        child, parent = parent, parents.get(parent)
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_never(node: ast.AST) -> bool:
    """`assert_never(event)`, or the case that leads to it."""
    if isinstance(node, ast.match_case):
        return _is_never(node.body[0])
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("assert_never(")


def _is_type(node: ast.Assign) -> bool:
    """`Veto = Callable[...]`: a name for a type."""
    return isinstance(node.value, ast.Subscript)


def _changes(  # noqa: PLR0912, PLR0915  (a straight list of plain cases)
    node: ast.AST, parents: dict[ast.AST, ast.AST]
) -> Iterator[Change]:
    def put(other: ast.AST) -> Change:
        return lambda: _put(parents[node], node, other)

    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                for kind in COMPARED[type(op)]:
                    yield _set(ops, place, kind())
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield put(ast.BoolOp(other, values))
            yield from (
                put(_one(ast.BoolOp(op, _without(values, place)))) for place in range(len(values))
            )
        case ast.UnaryOp(operand=operand):
            yield put(operand)
        case ast.BinOp(op=op) if type(op) in COMPUTED:
            yield put(ast.BinOp(node.left, COMPUTED[type(op)](), node.right))
        case ast.Constant(value=value):
            yield from (put(ast.Constant(other)) for other in _others(value))
        case ast.If(test=test) | ast.IfExp(test=test):
            yield from (_attr(node, "test", ast.Constant(value)) for value in (True, False))
            yield _attr(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=value) if not _is_none(value):
            yield _attr(node, "value", ast.Constant(None))
        case ast.Call(args=args, keywords=keywords):
            if ast.unparse(node.func) not in COMMUTATIVE:
                yield from (_swap(args, place) for place in range(len(args) - 1))
            yield from (_cut(args, place) for place in range(len(args)))
            yield from (_cut(keywords, place) for place in range(len(keywords)))
        case ast.Tuple(elts=elements, ctx=ast.Load()) | ast.List(elts=elements, ctx=ast.Load()):
            yield from (_cut(elements, place) for place in range(len(elements)))
        case ast.Dict(keys=keys, values=values):
            yield from (_cut_pair(keys, values, place) for place in range(len(keys)))
        case ast.Slice(lower=lower, upper=upper):
            yield put(ast.Slice(upper, lower))
            yield put(ast.Slice(None, None))
        case ast.comprehension(ifs=ifs):
            yield from (_cut(ifs, place) for place in range(len(ifs)))
        case ast.Match(cases=cases):
            known = [place for place, case in enumerate(cases) if not _is_never(case)]
            yield from (_cut(cases, place) for place in known)
        case ast.MatchOr(patterns=patterns):
            yield from (_cut(patterns, place) for place in range(len(patterns)))
        case ast.match_case(guard=guard) if guard is not None:
            yield _attr(node, "guard", None)
        case _:
            pass
    yield from _statement_changes(node, parents, put)


def _statement_changes(
    node: ast.AST, parents: dict[ast.AST, ast.AST], put: Callable[[ast.AST], Change]
) -> Iterator[Change]:
    match node:
        case ast.Continue():
            yield put(ast.Break())
            yield put(ast.Pass())
        case ast.Return(value=value) if _is_none(value) and _ends(node, parents[node]):
            return
        case ast.Expr() | ast.Assign() | ast.Return() | ast.For() | ast.If():
            yield put(ast.Pass())
        case ast.AnnAssign(value=value) if value is not None:
            yield put(ast.Pass())
        case _:
            return


def _others(value: object) -> Iterator[str | int | float | bool]:
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
            if value != 0:
                yield 0
        case str():
            yield f"X{value}X"
        case _:
            return


def _ends(node: ast.AST, parent: ast.AST) -> bool:
    """Does the function end there anyway, and give None?"""
    return isinstance(parent, ast.FunctionDef) and parent.body[-1] is node


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _without(values: Sequence[ast.expr], place: int) -> list[ast.expr]:
    return [*values[:place], *values[place + 1 :]]


def _one(node: ast.BoolOp) -> ast.expr:
    return node.values[0] if len(node.values) == 1 else node


def _put(parent: ast.AST, node: ast.AST, other: ast.AST) -> None:
    for name, value in ast.iter_fields(parent):
        if value is node:
            setattr(parent, name, other)
        elif isinstance(value, list) and node in value:
            value[value.index(node)] = other


def _attr(node: ast.AST, name: str, value: ast.AST | None) -> Change:
    return lambda: setattr(node, name, value)


def _set(values: list[T], place: int, value: T) -> Change:
    return lambda: values.__setitem__(place, value)


def _cut(values: list[T], place: int) -> Change:
    return lambda: values.__delitem__(place)


def _swap(values: list[T], place: int) -> Change:
    def swap() -> None:
        values[place], values[place + 1] = values[place + 1], values[place]

    return swap


def _cut_pair(keys: list[ast.expr | None], values: list[ast.expr], place: int) -> Change:
    def cut() -> None:
        del keys[place], values[place]

    return cut


# -- killing them -------------------------------------------------------------------------------


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the mutant in place of the module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self._mutant.file)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.tree, self._mutant.file, "exec"), module.__dict__)


def start(mutant: Mutant | None) -> int:
    """Run the core tests on a mutant in a fork: the id of the process."""
    process = os.fork()
    if process:
        return process
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        if mutant is not None:
            sys.meta_path.insert(0, Mutated(mutant))
        likely_first = sorted(TESTS, key=lambda test: mutant is None or mutant.room not in test)
        failed = pytest.main([*OPTIONS, *likely_first])
    except BaseException:  # noqa: BLE001  (whatever it is, the mutant did not live)
        failed = 1
    os._exit(1 if failed else 0)


def survivors(made: Sequence[Mutant], processes: int) -> list[Mutant]:
    """Those whose tests all pass."""
    waiting, running = list(reversed(made)), dict[int, tuple[Mutant, float]]()
    alive: list[Mutant] = []
    while waiting or running:
        while waiting and len(running) < processes:
            mutant = waiting.pop()
            running[start(mutant)] = mutant, time.monotonic()
        for process, (mutant, begun) in list(running.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if not ended and time.monotonic() - begun > LIMIT_S:
                os.kill(process, signal.SIGKILL)
            if ended:
                del running[process]
                alive += [mutant] * (status == 0)
        time.sleep(0.005)
    return alive


def listed() -> dict[Name, str]:
    if not EQUIVALENT.exists():
        return {}
    entries = tomllib.loads(EQUIVALENT.read_text()).get("equivalent", [])
    return {(e["file"], e["where"], e["was"], e["now"]): e["reason"] for e in entries}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--file", default="", help="only of files whose path contains this")
    parser.add_argument("--only", default="", help="only mutants whose text contains this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if any(name.startswith("stepfold") for name in sys.modules):
        print("stepfold is imported already: mutants would not be seen", file=sys.stderr)
        return 2
    if os.waitpid(start(None), 0)[1]:
        print(f"the core tests fail without any mutant: pytest {' '.join(TESTS)}", file=sys.stderr)
        return 2
    made = [m for name, path in TARGETS.items() for m in mutants(name, path)]
    made = [m for m in made if options.file in m.file and options.only in str(m)]
    equivalent = [name for name in listed() if options.file in name[0]]
    alive = survivors(made, options.processes)
    return _report(made, alive, equivalent, whole=not options.only)


def _report(
    made: Sequence[Mutant], alive: Sequence[Mutant], equivalent: Sequence[Name], *, whole: bool
) -> int:
    names = {mutant.name for mutant in alive}
    survived = [mutant for mutant in alive if mutant.name not in equivalent]
    stale = [name for name in equivalent if name not in names] if whole else []
    for mutant in survived:
        print(f"survived: {mutant}")
    for file, where, was, now in stale:
        print(f"listed as equivalent, but killed or gone: {file} {where}: {was} -> {now}")
    for file in sorted({mutant.file for mutant in made}):
        print(f"{file}: {_told([made, alive, survived], file)}")
    print(_told([made, alive, survived]))
    return 1 if survived or stale else 0


def _told(groups: Sequence[Sequence[Mutant]], file: str = "") -> str:
    made, alive, survived = (sum(file in m.file for m in group) for group in groups)
    return (
        f"{made} mutants: {made - alive} killed, {survived} survived, {alive - survived} equivalent"
    )


if __name__ == "__main__":
    sys.exit(main())
