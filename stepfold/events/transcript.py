"""What was said, as a model may be shown it: the items of a conversation, and their legal form.

Every provider refuses a history in which a call has no result, or has one in the wrong place.
`legal` therefore answers each call directly after the turn that made it, in the order of the calls,
and says so where no outcome was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, assert_never

from msgspec import Struct

from stepfold.events.values import FileRef, HostedTool, Part, Passage, State, Text, ToolCall

Status = Literal["ok", "failed", "refused", "unknown", "cancelled"]
FILE, HOSTED, CONTACT = "~file", "~hosted", "~contact:"
"""Sources of text that are no tools: what was attached, what a provider's own tools found, and what
the contact wrote whose name follows.
"""
_TOLD: frozenset[Status] = frozenset({"ok", "failed", "unknown"})
"""Where words of a tool's may stand: why an outcome is unknown is often told by the far side."""
NO_OUTCOME = "cancelled: the turn ended before an outcome of this call was seen"


class Heard(Struct, frozen=True):
    """A contact's message, at the place where a model first heard it."""

    text: str
    files: tuple[FileRef, ...] = ()
    contact: str = ""


class Thought(Struct, frozen=True):
    """A model's turn, its parts in order; `state` where its own API must be sent more than that."""

    parts: tuple[Part, ...]
    state: State | None = None

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def characters(self) -> int:
        """Of its text and its calls' arguments: what a model would be shown, roughly."""
        written = sum(len(str(call.arguments)) + len(call.name) for call in self.calls)
        return written + len(self.text)


class Result(Struct, frozen=True):
    """The outcome of one call, for a model: text, or the passages that a retrieval returned.
    `files` are what the call made, or the whole of a text that was too long.
    """

    call: str
    name: str
    text: str = ""
    status: Status = "ok"
    passages: tuple[Passage, ...] = ()
    files: tuple[FileRef, ...] = ()

    @property
    def characters(self) -> int:
        return len(self.text) + sum(len(passage.text) for passage in self.passages)


Item = Heard | Thought | Result


def sources(items: Iterable[Item]) -> frozenset[str]:
    """Whose words these are, beside the model's own and ours."""
    return frozenset(source for item in items for source in _sources(item))


def _sources(item: Item) -> Iterator[str]:
    match item:
        case Heard():
            yield CONTACT + item.contact
            if item.files:
                yield FILE
        case Thought():
            if any(_found_elsewhere(part) for part in item.parts):
                yield HOSTED
        case Result():
            if item.status in _TOLD:
                yield item.name
        case _:
            assert_never(item)


def _found_elsewhere(part: Part) -> bool:
    """Did the provider itself bring it? A source that it names is none of our documents."""
    if isinstance(part, Text):
        return any(not citation.digest for citation in part.citations)
    return isinstance(part, HostedTool)


def files_of(transcript: Sequence[Item]) -> Iterator[FileRef]:
    """The files of a conversation whose bytes are kept: each once, in the order they came."""
    seen: set[str] = set()
    for item in transcript:
        parts = item.parts if isinstance(item, Thought) else item.files
        for part in parts:
            if isinstance(part, FileRef) and part.blob and part.blob not in seen:
                seen.add(part.blob)
                yield part


def legal(transcript: Sequence[Item]) -> Iterator[Item]:
    """The transcript with every call answered right after its turn; stray results are left out."""
    results = {item.call: item for item in transcript if isinstance(item, Result)}
    for item in transcript:
        if isinstance(item, Result):
            continue
        yield item
        for call in item.calls if isinstance(item, Thought) else ():
            yield results.get(call.call) or Result(
                call=call.call, name=call.name, text=NO_OUTCOME, status="cancelled"
            )
