"""`stepfold knowledge`: the library that `serve` and `chat` answer from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from stepfold import settings
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json, table
from stepfold.knowledge.documents import load
from stepfold.knowledge.library import Library
from stepfold.streams.server import unusable

DEFAULT = "default"
PASSAGES = 5

commands = typer.Typer(
    help="Add, search and list the documents that agents quote.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _library(data: Path | None) -> Library:
    return Library(settings.read(folder=data).knowledge)


@commands.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder, a file, or a .jsonl.")],
    *,
    collection: Annotated[str, typer.Option(metavar="NAME", help="Where to add.")] = DEFAULT,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add documents; one with the same id is replaced."""
    documents = load(path)
    try:
        added = _library(data).add(collection, documents)
    except OSError as error:
        raise unusable(settings.read(folder=data).folder, error) from error
    if json:
        say_json(added)
        return
    say(
        f"{collection}: {len(added.added)} added, {len(added.changed)} changed,"
        f" {len(added.unchanged)} unchanged; it holds {count(added.documents, 'document')}"
    )


@commands.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The words to look for.")],
    *,
    collection: Annotated[str, typer.Option(metavar="NAME", help="Where to look.")] = DEFAULT,
    passages: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="How many.")
    ] = PASSAGES,
    data: Data = None,
    json: Json = False,
) -> None:
    """The passages that an agent would find for TEXT, best first."""
    found = asyncio.run(_library(data).search([collection], text, passages))
    if json:
        say_json(found)
        return
    for number, passage in enumerate(found, start=1):
        head = f"{passage.title}, {passage.document} {passage.start}-{passage.end}"
        say(
            paragraph(f"{head}, score {passage.score:.2f}", first=f"{number:>3} ", rest="    "),
            bold=True,
        )
        say(paragraph(passage.text, first="    ", rest="    "))
        say()
    if not found:
        say(f"no passage in {collection!r} shares a word with it")


@commands.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """The collections and how much they hold."""
    collections = _library(data).collections()
    if json:
        say_json(collections)
    elif not collections:
        say("the library is empty; add documents: stepfold knowledge add PATH")
    else:
        rows = [[c.name, f"{c.documents:,}", f"{c.characters:,}"] for c in collections]
        say(table(("collection", "documents", "characters"), rows, numbers=(1, 2)))
