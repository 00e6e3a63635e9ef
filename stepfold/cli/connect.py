"""`stepfold connect`: makes a connection of an OpenAPI description, or says what it would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from stepfold import settings
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json, table, warn
from stepfold.tools.openapi.catalogue import catalogue
from stepfold.tools.openapi.connection import (
    FOLDER,
    NAME,
    NAMED,
    read_catalogue,
    read_connection,
)
from stepfold.tools.openapi.errors import ConnectionRefused
from stepfold.tools.openapi.findings import Finding
from stepfold.tools.openapi.loading import tools_of
from stepfold.tools.openapi.making import AUTHS, Made, Wanted, keep
from stepfold.tools.openapi.operation import Operation
from stepfold.tools.openapi.reading import read_description
from stepfold.tools.openapi.selection import select
from stepfold.tools.openapi.ways import ConnectionWays, unknown

FINDINGS_SHOWN = 20


def connect(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the connection is called.")],
    spec: Annotated[
        Path, typer.Option("--spec", metavar="FILE", help="OpenAPI 3.0 or 3.1, JSON or YAML.")
    ],
    *,
    read: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Enable reads: names, paths or tags, as `List*`."),
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(metavar="OPERATION", help="Enable one write, by its whole name."),
    ] = None,
    server: Annotated[
        str, typer.Option(metavar="URL", help="Where requests go (else as described).")
    ] = "",
    variable: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A {variable} of the server's URL."),
    ] = None,
    auth: Annotated[
        str, typer.Option(metavar="KIND", help=f"{AUTHS}: names of variables, never a secret.")
    ] = "",
    private: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="May be reached although not public."),
    ] = None,
    key_header: Annotated[
        str, typer.Option(metavar="HEADER", help="Takes idempotency keys: writes can be repeated.")
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Make it again: what is not named here stays.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make tools of an OpenAPI description.

    Operations that read are taken by pattern, those that write only by name. Says what it would do
    with each operation, what is broken in the description and what was done about it, and how many
    tokens a model is shown.
    """
    if not NAME.fullmatch(name):
        raise typer.BadParameter(NAMED, param_hint="NAME")
    folder = settings.read(folder=data).folder / FOLDER
    path = folder / f"{name}.toml"
    if not dry_run:
        _refuse_existing(path, replace=replace)
    description = read_description(spec)
    kept = catalogue(description)
    made = Wanted(
        name=name,
        catalogue=kept,
        reads=tuple(read or ()),
        writes=tuple(write or ()),
        server=server,
        variables=_pairs(variable or ()),
        auth=auth,
        private=tuple(private or ()),
        key_header=key_header,
        before=_before(path) if replace and path.exists() else "",
    ).make()
    if not dry_run:
        keep(made, folder)
    findings = tuple(description.findings)
    if json:
        say_json(_plain(made, findings, written=not dry_run))
    else:
        _say(made, findings, folder, dry_run=dry_run)


def connections(
    tools: Annotated[
        bool, typer.Option("--tools", help="The tools of each, one by one, with their effects.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """The connections of the data folder, and how many tools each of them gives. Exit code 1 when
    one of them cannot be loaded; the others are listed all the same.
    """
    folder = settings.read(folder=data).folder / FOLDER
    told = []
    for path in sorted(folder.glob("*.toml")):
        try:
            told.append(_listed(path))
        except ConnectionRefused as error:
            for problem in error.problems:
                warn(problem)
    failed = len(told) < len(list(folder.glob("*.toml")))
    if json:
        say_json(told)
    elif told:
        _say_connections(told, tools=tools)
    elif not failed:
        say("no connection yet: stepfold connect NAME --spec FILE")
    for each in told:
        for problem in each["problems"]:
            warn(f"{folder / each['name']}.toml: {problem}")
    if failed or any(each["problems"] for each in told):
        raise typer.Exit(REFUSED)


def _listed(path: Path) -> dict[str, Any]:
    if not NAME.fullmatch(path.stem):
        raise ConnectionRefused(f"{path}: {NAMED}")
    connection, kept = read_connection(path), read_catalogue(path.with_suffix(".json"))
    chosen = select(kept, connection.reads, connection.writes)
    problems = [*chosen.problems, *unknown(connection, kept)]
    ways = ConnectionWays(path.stem, connection, kept, {})
    given = () if problems else tools_of(path.stem, connection, kept, chosen, ways)
    return {
        "name": path.stem,
        "title": kept.title,
        "counts": [len(kept.operations), len(chosen.reads), len(chosen.writes)],
        "reads": [each.name for each in chosen.reads],
        "writes": [each.name for each in chosen.writes],
        "tools": [{"name": each.spec.name, "effect": each.spec.effect} for each in given],
        "customers": [*connection.customers],
        "problems": problems,
    }


def _say_connections(told: Sequence[dict[str, Any]], *, tools: bool) -> None:
    if tools:
        columns = ("connection", "tool", "effect")
        rows = [
            (each["name"], tool["name"], tool["effect"]) for each in told for tool in each["tools"]
        ]
        say(table(columns, rows))
        return
    head = ("name", "of", "operations", "reads", "writes", "tools")
    counted = [
        [each["name"], each["title"], *map(str, each["counts"]), str(len(each["tools"]))]
        for each in told
    ]
    say(table(head, counted, numbers=(2, 3, 4, 5)))
    say(paragraph("--tools lists the tools by name"), dim=True)


def _pairs(told: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in told]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise typer.BadParameter(f"{name!r}: write NAME=VALUE", param_hint="--variable")
    return {name: value for name, _, value in pairs}


def _before(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandRefused(f"{path}: it is not UTF-8: mend it, or remove it") from error


def _refuse_existing(path: Path, *, replace: bool) -> None:
    if path.exists() and not replace:
        raise CommandRefused(
            f"{path} is there already: edit it, or overwrite it with --replace, which keeps what is"
            " not named; --dry-run tries"
        )


# -- as JSON ------------------------------------------------------------------------------------


def _plain(made: Made, findings: Sequence[Finding], *, written: bool) -> dict[str, Any]:
    kept = made.catalogue
    return {
        "connection": made.name,
        "title": kept.title,
        "version": kept.version,
        "digest": kept.digest,
        "written": written,
        "servers": kept.servers,
        "security": kept.schemes,
        "operations": [_operation(each, made) for each in kept.operations],
        "reads": [each.name for each in made.selection.reads],
        "writes": [each.name for each in made.selection.writes],
        "skipped": kept.skipped,
        "lint": findings,
        "tokens": made.tokens,
        "kept": made.kept,
        "open": made.open,
    }


def _operation(operation: Operation, made: Made) -> dict[str, Any]:
    return {
        "name": operation.name,
        "method": operation.method,
        "path": operation.path,
        "tags": operation.tags,
        "description": operation.description,
        "effect": made.effect(operation),
        "enabled": made.enabled(operation),
        "tokens": operation.tokens,
        "doubt": operation.doubt,
        "deprecated": operation.deprecated,
        "cut": operation.cut,
    }


# -- in words -----------------------------------------------------------------------------------


def _say(made: Made, findings: Sequence[Finding], folder: Path, *, dry_run: bool) -> None:
    kept = made.catalogue
    title = f"{kept.title or made.name} {kept.version}".strip()
    reads = sum(each.reads for each in kept.operations)
    writes = len(kept.operations) - reads
    say(
        paragraph(f"{title}: {count(reads, 'read')}, {count(writes, 'write')}", rest="  "),
        bold=True,
    )
    listed = kept.operations if dry_run else (*made.selection.reads, *made.selection.writes)
    for operation in listed:
        _say_operation(operation, made)
    for skipped in kept.skipped if dry_run else ():
        say(paragraph(f"skipped {skipped.name}: {skipped.reason}", first="  ", rest="    "))
    if kept.skipped and not dry_run:
        number = count(len(kept.skipped), "operation")
        say(paragraph(f"{number} cannot be called: --dry-run says why", first="  ", rest="    "))
    _say_findings(findings)
    for scheme in kept.schemes:
        words = " ".join(part for part in (scheme.kind, scheme.scheme, scheme.name) if part)
        say(paragraph(f"security {scheme.id}: {words}", first="  ", rest="    "), dim=True)
    for line in _tokens(made):
        say(paragraph(line, rest="  "))
    if made.kept:
        say(paragraph(f"kept as it was in the file: {', '.join(made.kept)}", rest="  "))
    for line in made.open:
        say(paragraph(f"still open: {line}", rest="  "), bold=True)
    if dry_run:
        say("nothing was written")
    else:
        say(paragraph(f"written: {folder / made.name}.toml and .json", rest="  "))


def _say_operation(operation: Operation, made: Made) -> None:
    mark = "+" if made.enabled(operation) else " "
    words = f"{made.effect(operation)} {operation.name}, {count(operation.tokens, 'token')}"
    where = f"{operation.method.upper()} {operation.path}"
    say(paragraph(f"{words}: {where}", first=f"{mark} ", rest="    "))
    notes = (operation.doubt, operation.cut, "deprecated" if operation.deprecated else "")
    for note in filter(None, notes):
        say(paragraph(note, first="    ", rest="    "), dim=True)


def _say_findings(findings: Sequence[Finding]) -> None:
    """The same thing in many places is told once, with the first of them."""
    if findings:
        say(f"{count(len(findings), 'thing')} in the description that should be better:")
    alike: dict[tuple[str, str], list[Finding]] = {}
    for each in findings:
        alike.setdefault((each.broken, each.done), []).append(each)
    for (broken, done), found in islice(alike.items(), FINDINGS_SHOWN):
        more = f", and in {count(len(found) - 1, 'more place')}" if len(found) > 1 else ""
        told = f"{broken}: {done} ({found[0].place}{more})"
        say(paragraph(told, first="  ", rest="    "), dim=True)
    if len(alike) > FINDINGS_SHOWN:
        say(paragraph(f"and {len(alike) - FINDINGS_SHOWN:,} more: --json lists all", first="  "))


def _tokens(made: Made) -> Iterator[str]:
    cost = made.tokens
    yield (
        f"about {cost['all']:,} tokens for all operations (trimmed; {cost['file']:,} the file),"
        f" {cost['enabled']:,} for the enabled ones, {cost['found']:,} with the reads found by"
        f" {made.name}_find_tool (estimated: {cost['characters_per_token']} characters a token)"
    )
