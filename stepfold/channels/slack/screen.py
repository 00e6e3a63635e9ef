"""What one message on Slack shows, and how a stream gets from one screen to the next. Pure."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from stepfold.channels.slack.blocks import (
    MARKDOWN_CHARS_MAX,
    TEXT_CHARS_MAX,
    Block,
    Chunk,
    context,
    cut,
    escaped_cut,
    pieces,
    said,
    section,
    task_line,
    task_update,
)

LINES_CHARS_MAX = 2_500
SHORT_CHARS_MAX = 2_900
TOO_LONG = "The rest is too long for Slack."
NOTHING = "…"
"""What stands for blocks in a notification where they say nothing by themselves."""


class Task(Struct, frozen=True):
    """A step of a tool or a search in the timeline. `status` is one of Slack's."""

    id: str
    title: str
    status: str
    output: str = ""


class Screen(Struct, frozen=True):
    """What one message on Slack is to show. `key` names it in its conversation; it is `over` when
    nothing more will change; then `below` are blocks under it, and `answers` says that it is the
    answer of its turn.
    """

    key: str
    turn: int = 0
    text: str = ""
    tasks: tuple[Task, ...] = ()
    over: bool = False
    below: tuple[Block, ...] = ()
    answers: bool = False


def changes(before: Screen, after: Screen) -> tuple[Chunk, ...] | None:
    """What is to be appended so that a stream that shows `before` shows `after`; None when that
    takes something back, which no stream can.
    """
    gone = {task.id for task in before.tasks} - {task.id for task in after.tasks}
    if gone or not after.text.startswith(before.text):
        return None
    fresh = pieces(after.text[len(before.text) :], MARKDOWN_CHARS_MAX)
    chunks = ({"type": "markdown_text", "text": piece} for piece in fresh)
    tasks = (task for task in after.tasks if task not in before.tasks)
    updates = (task_update(t.id, t.title, t.status, t.output) for t in tasks)
    return (*chunks, *updates)


def whole(screen: Screen) -> tuple[str, list[Block]]:
    """All of it as a message without a stream: the text for notifications, and the blocks."""
    lines = "\n".join(task_line(t.title, t.status, t.output) for t in screen.tasks)
    above = [context(cut(lines, LINES_CHARS_MAX))] if lines else []
    text = escaped_cut(screen.text, TEXT_CHARS_MAX) or cut(lines, LINES_CHARS_MAX) or NOTHING
    return text, said(above, screen.text, screen.below)


def is_empty(screen: Screen) -> bool:
    return not (screen.text.strip() or screen.tasks or screen.below)


def short(screen: Screen) -> list[Block]:
    """What is left of it where Slack takes no more: the beginning, and that there was more."""
    told = escaped_cut(screen.text, SHORT_CHARS_MAX)
    return [section(told if told.strip() else NOTHING), context(TOO_LONG)]


def digest(screen: Screen) -> str:
    """Tells two screens apart by what they show."""
    shown = msgspec.json.encode((screen.text, screen.tasks, screen.below))
    return hashlib.sha256(shown).hexdigest()[:12]
