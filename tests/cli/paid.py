"""A log on which much was paid for: its archive, its folder, and what its events say was spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from stepfold.events import wire
from stepfold.events.event import Event, Generated, GenerationFailed, Reasoned, ReasonFailed
from stepfold.events.values import Spend
from stepfold.handlers.asking import UNSEEN
from tests.cli.commands import run
from tests.projections.made import DIGEST, Stored, archive, stored


class Paid(Struct, frozen=True):
    customer: str
    conversation: str
    at: datetime
    what: Any


def paid_log(folder: Path, steps: Sequence[Stored]) -> Path:
    """The folder of a log with these steps in it."""
    head, rest = archive(steps).split(b"\n", 1)
    file = folder / "steps.jsonl"
    file.write_bytes(head + b'\n{"missing":"%s"}\n' % DIGEST.encode() + rest)
    ended = run("import", file, data=folder)
    assert ended.exit_code == 0, ended.output
    return folder


def paid_events(folder: Path, events: Sequence[Event]) -> Path:
    return paid_log(folder, stored(events))


def paid(steps: Sequence[Stored]) -> Iterator[Paid]:
    """All paid things, as the events tell them."""
    for position, subject, payload, at in steps:
        entry = wire.decode(subject, payload, position=position, at=at)
        found: list[Any] = list(getattr(entry.event, "spent", ()))
        if isinstance(entry.event, Reasoned | ReasonFailed | Generated | GenerationFailed):
            found.append(entry.event)
        for each in found:
            yield Paid(entry.customer, entry.conversation, entry.at, each)


def model(each: Paid) -> str:
    """As the ledger names it: with its provider, as a failure is asked with it already."""
    name, provider = each.what.model, each.what.provider
    return f"{provider}/{name.removeprefix(f'{provider}/')}" if provider else str(name)


def unpriced(each: Paid) -> bool:
    """Was it used, or may it have been charged for, and nobody knows its price?"""
    if each.what.cost_usd is not None:
        return False
    if isinstance(each.what, Reasoned | Generated | Spend) or each.what.usage is not None:
        return True
    return bool(each.what.reason in UNSEEN and each.what.provider)
