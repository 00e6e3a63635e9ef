"""`stepfold demo`: a server, workers and knowledge of its own; questions, and every step."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import HELP_DESK, TOLD, Opened, Parts, opened, working
from stepfold.cli import costs
from stepfold.cli.lines import say_step
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json
from stepfold.cli.turn import answer_of, say_answer, until_rest
from stepfold.events.envelope import Entry
from stepfold.handlers.inbox import Inbox, Message
from stepfold.knowledge.documents import SAMPLE, load
from stepfold.knowledge.memory import MemoryKnowledge

CUSTOMER = "demo"
QUESTIONS = (
    "How do I export my invoices as CSV?",
    "Within how many days can I get a refund of my first payment?",
    "Can I pay with bitcoin at your branch in Paris?",
)
"""The sample knowledge answers the first two. Nothing in it answers the third."""


def demo(
    *,
    knowledge: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="A folder of documents, or a .jsonl file (default: a sample)."
        ),
    ] = None,
    ask: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A question; may be given repeatedly.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Ask an agent some questions and watch every step.

    It needs no key and no network: the model only quotes from the knowledge. Nothing stays behind
    unless --data says where.
    """
    with _folder(data) as folder:
        asyncio.run(_demo(folder, knowledge or SAMPLE, ask or QUESTIONS, json=json))


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with TemporaryDirectory(prefix="stepfold-") as folder:
        yield Path(folder)


async def _demo(folder: Path, path: Path, questions: Sequence[str], *, json: bool) -> None:
    documents = load(path)
    parts = Parts(knowledge=MemoryKnowledge({"default": documents}))
    here = replace(settings.read(folder=folder), nats_url="")
    if not json:
        what = "the sample knowledge" if path == SAMPLE else str(path)
        say(paragraph(f"knowledge  {count(len(documents), 'document')} from {what}", rest=" " * 11))
        say(paragraph(f"model      {TOLD['extractive']}", rest=" " * 11))
    async with opened(here) as found:
        async with working(found, parts):
            names = await _ask_all(found, questions, json=json)
        if not json:
            say()
            await costs.say_costs(found, here, CUSTOMER, names)


async def _ask_all(found: Opened, questions: Sequence[str], *, json: bool) -> list[str]:
    """The names of the conversations."""
    inbox = await found.inbox(HELP_DESK)
    names = [f"q{number}-{secrets.token_hex(3)}" for number in range(1, len(questions) + 1)]
    for name, question in zip(names, questions, strict=True):
        entries = await _ask(found, inbox, name, question, json=json)
        if json:
            say_json(answer_of(entries))
        else:
            say()
            say_answer(entries)
    return names


async def _ask(
    found: Opened, inbox: Inbox, conversation: str, question: str, *, json: bool
) -> list[Entry]:
    if not json:
        say()
        say(paragraph(question, first="> ", rest="  "), bold=True)
        say()
    message = await inbox.receive(Message(CUSTOMER, conversation, question, id="1"))
    entries: list[Entry] = []
    async for entry in until_rest(found.log, message, after=0):
        entries.append(entry)
        if not json:
            say_step(entry, since=entries[0].at)
    return entries
