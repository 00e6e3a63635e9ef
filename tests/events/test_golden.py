"""What was once written is read for ever. A golden file is never changed: add another."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.events.envelope import tag
from stepfold.events.event import MessageReceived, Unreadable
from stepfold.events.wire import TAGS, UPCASTERS, decode_event, encode_event

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


def test_every_kind_that_can_be_written_has_a_golden_file() -> None:
    assert {name.replace("/", "-") for name in TAGS} <= {path.stem for path in GOLDEN}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_file_is_read_for_ever(path: Path) -> None:
    event = decode_event(path.read_bytes())

    assert path.stem == "unreadable-1" or not isinstance(event, Unreadable)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_is_read_in_todays_version_is_written_as_it_was(path: Path) -> None:
    event = decode_event(path.read_bytes())

    assert tag(event).replace("/", "-") != path.stem or encode_event(event) == path.read_bytes()


def test_an_old_version_is_brought_up_to_today() -> None:
    old = b'{"type":"message.heard/0","words":["Good","morning"]}'
    upcasters = {
        "message.heard/0": lambda form: {
            "type": "message.heard/1",
            "text": " ".join(form["words"]),
        },
        "message.heard/1": lambda form: {**form, "type": "message.received/1"},
    }

    assert decode_event(old, upcasters) == MessageReceived("Good morning")


def test_an_old_version_that_its_upcaster_cannot_read_is_unreadable() -> None:
    upcasters = {"message.heard/0": lambda form: {"type": "message.received/1", "text": form["x"]}}

    event = decode_event(b'{"type":"message.heard/0"}', upcasters)

    assert isinstance(event, Unreadable)
    assert event.reason == "malformed: 'x'"


def test_every_old_version_has_an_upcaster_and_no_version_of_today_has_one() -> None:
    old = {path.stem for path in GOLDEN} - {name.replace("/", "-") for name in TAGS}

    assert {name.replace("/", "-") for name in UPCASTERS} == old
