"""A recorded conversation as a test: every decision follows again, and what was said stays said."""

from __future__ import annotations

import re
from textwrap import indent

from stepfold.evaluation.replay import Replay
from stepfold.events.transcript import Thought
from stepfold.projections.state import Conversation
from stepfold.streams.archive import Archive, ArchiveError, Key, entries

ITEM_CHARS = 76
SHORT_CHARS = 20
_TEMPLATE = '''\
"""What {customer}/{conversation} did, and must do again. Written by `stepfold export --as-test`."""

import pytest
from stepfold.events.transcript import Thought


@pytest.mark.replay({log})
def test_{name}_decides_again_what_it_decided(replayed):
    thoughts = [item for item in replayed.state.transcript if isinstance(item, Thought)]

    assert not replayed.differences
    assert [call.name for thought in thoughts for call in thought.calls] == {tools}
    assert [thought.text for thought in thoughts if not thought.calls][-1:] == {answer}
'''


def as_test(archive: Archive, *, log: str = "") -> str:
    """A pytest file for an archive of one conversation; `log` is the archive's path as seen from
    that file, by default its name in the folder `logs`.
    """
    replay = Replay(archive.agents)
    taken = list(entries(archive))
    replay.take(taken)
    customer, conversation = _only(archive, {entry.key for entry in taken})
    state = replay.state((customer, conversation))
    said = [thought.text for thought in _thoughts(state) if not thought.calls]
    return _TEMPLATE.format(
        customer=customer,
        conversation=conversation,
        log=_quoted(log or "logs/" + archive.name.rpartition("/")[2]),
        name=re.sub(r"[^a-z0-9]+", "_", conversation.lower()).strip("_") or "conversation",
        tools=_listed([call.name for thought in _thoughts(state) for call in thought.calls]),
        answer=_listed(said[-1:]),
    )


def _only(archive: Archive, keys: set[Key]) -> Key:
    if len(keys) == 1:
        return keys.pop()
    raise ArchiveError(
        f"{archive.name} holds {len(keys)} conversations, a test is about one:"
        " export it with `stepfold export CONVERSATION`"
    )


def _thoughts(state: Conversation) -> list[Thought]:
    return [item for item in state.transcript if isinstance(item, Thought)]


def _listed(words: list[str]) -> str:
    """The list as Python, one item a line when it is long."""
    if len(repr(words)) <= SHORT_CHARS:
        return "[" + ", ".join(map(_quoted, words)) + "]"
    items = "".join(f"{_item(word)},\n" for word in words)
    return f"[\n{indent(items, ' ' * 8)}    ]"


def _item(word: str) -> str:
    """A string as Python, in several lines when it is long."""
    if len(word) <= ITEM_CHARS:
        return _quoted(word)
    starts = range(0, len(word), ITEM_CHARS)
    pieces = [_quoted(word[start : start + ITEM_CHARS]) for start in starts]
    return "(\n" + indent("\n".join(pieces), " " * 4) + "\n)"


def _quoted(word: str) -> str:
    """With double quotes, as a formatter would."""
    single = repr("'" + word)
    return '"' + single[2:-1] + '"' if single.startswith('"') else repr(word)
