"""The steps of tools and searches as tasks in a timeline; nothing of what is inside them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from stepfold.channels.slack.screen import Task
from stepfold.events.event import (
    ApprovalRequested,
    CodeRequested,
    Event,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
)

Work = (
    ApprovalRequested
    | CodeRequested
    | RetrievalFailed
    | RetrievalRequested
    | RetrievalReturned
    | ToolFailed
    | ToolRefused
    | ToolRequested
    | ToolReturned
    | ToolUnknown
)


def task_of(  # noqa: PLR0911  (one line a kind)
    event: Event, turn: int, tasks: Sequence[Task]
) -> Task | None:
    """The task that an event begins or changes in a turn that shows these; None for all others."""
    if not isinstance(event, Work) or event.turn != turn:
        return None
    known = {task.id: task.title for task in tasks}
    match event:
        case ToolRequested() | CodeRequested():
            return Task(event.call, spelled(event.name), "in_progress")
        case RetrievalRequested():
            return Task(event.call, f"Search: {event.query}", "in_progress")
        case ApprovalRequested():
            return Task(event.call, spelled(event.name), "pending", "waits for approval")
        case ToolRefused():
            return Task(event.call, spelled(event.name), "error", "not permitted")
        case ToolReturned() if event.call in known:
            return Task(event.call, known[event.call], "complete")
        case ToolFailed() | RetrievalFailed() if event.call in known:
            return Task(event.call, known[event.call], "error", "did not work")
        case ToolUnknown() if event.call in known:
            return Task(event.call, known[event.call], "error", "nobody knows whether it worked")
        case RetrievalReturned() if event.call in known:
            many = len(event.passages)
            told = f"{many} passage{'' if many == 1 else 's'}"
            return Task(event.call, known[event.call], "complete", told)
        case _:
            return None


def spelled(name: str) -> str:
    """A tool's name as a contact reads it: `look_up_invoice` is "Look up invoice"."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]
