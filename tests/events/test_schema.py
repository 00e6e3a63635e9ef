"""What is told to others of the words on the wire: it follows from the types, and it is true."""

import json
import re
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from stepfold.events import schema as module
from stepfold.events.envelope import Entry, follow, kind
from stepfold.events.event import Event, ToolReturned, ToolStarted, Unreadable
from stepfold.events.examples import examples
from stepfold.events.meanings import APPENDED_BY, OUTCOMES, field_meaning
from stepfold.events.schema import asyncapi, events_markdown, json_schema
from stepfold.events.structs import KINDS, reachable
from stepfold.events.wire import RAW_BYTES_MAX, TAGS, Envelope, decode, detach, encode, subject
from stepfold.streams import config
from stepfold.streams.jetstream import headers

ROOT = Path(__file__).parents[2]
EXAMPLES = list(examples().values())
AT = datetime(2026, 1, 1, tzinfo=UTC)


def payload(entry: Entry) -> bytes:
    return encode(entry, at=entry.at, after=entry.after)


def payload_of(event: Event) -> bytes:
    (draft,) = follow(EXAMPLES[0], "test", (event,))
    return encode(draft, at=AT, after=1)


def faults(payload: bytes) -> list[str]:
    validator = Draft202012Validator(json_schema(), format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(json.loads(payload))]


def words(found: Any, name: str) -> Iterator[Any]:
    """Every value of a key `name`, however deep."""
    if isinstance(found, dict):
        if name in found:
            yield found[name]
        for value in found.values():
            yield from words(value, name)
    if isinstance(found, list):
        for value in found:
            yield from words(value, name)


# -- examples and meanings -----------------------------------------------------


def test_there_is_an_example_of_every_kind_and_it_reads_back() -> None:
    read = [
        decode(subject(entry), payload(entry), position=entry.position, at=AT) for entry in EXAMPLES
    ]

    assert {type(entry.event) for entry in EXAMPLES} == set(KINDS.values())
    assert read == EXAMPLES


def test_every_kind_has_an_author_and_every_outcome_its_request() -> None:
    assert set(APPENDED_BY) == set(KINDS.values())
    assert all(len(set(outcomes)) == len(outcomes) > 1 for outcomes in OUTCOMES.values())
    assert {struct for struct in KINDS.values() if struct.__name__.endswith("Requested")} == set(
        OUTCOMES
    )


def test_every_field_has_a_meaning() -> None:
    structs = set(reachable((*KINDS.values(), Envelope, Unreadable)))

    missing = [
        f"{struct.__name__}.{field}"
        for struct in structs
        for field in struct.__struct_fields__
        if not field_meaning(struct, field)
    ]

    assert missing == []


# -- JSON Schema ---------------------------------------------------------------


def test_the_json_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())

    assert json.loads(json.dumps(json_schema())) == json_schema()


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: kind(entry.event))
def test_the_json_schema_fits_what_is_written(entry: Entry) -> None:
    assert faults(payload(entry)) == []


def test_a_payload_whose_event_is_in_a_blob_fits() -> None:
    stub, _ = detach(payload_of(ToolReturned("r1.1", 1, "long")), "sha256:" + "0" * 64)

    assert faults(stub) == []


def test_a_stub_without_a_blob_does_not_fit() -> None:
    stub, _ = detach(payload_of(ToolReturned("r1.1", 1, "long")), "sha256:" + "0" * 64)

    assert faults(re.sub(rb',"blob":"[^"]*"', b"", stub)) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"call":"r1.1"', b'"call":1'),
        (b'"turn":1,', b""),
        (b"tool.started/1", b"tool.started/9"),
        (b'"after":1', b'"after":"1"'),
        (b'"id":"', b'"id":"x'),
    ],
    ids=["wrong type", "missing field", "version from the future", "position", "id"],
)
def test_what_a_reader_would_not_read_does_not_fit(old: bytes, new: bytes) -> None:
    written = payload_of(ToolStarted("r1.1", 1, "w1"))

    assert old in written
    assert faults(written.replace(old, new)) != []


def test_a_field_from_a_newer_version_fits() -> None:
    written = payload_of(ToolStarted("r1.1", 1, "w1"))

    assert faults(written.replace(b'"turn":1', b'"turn":1,"hurry":true')) == []


def test_a_reader_says_unreadable_but_nobody_sends_it() -> None:
    assert set(TAGS) - set(KINDS) == {"unreadable/1"}
    assert "Unreadable" not in json_schema()["$defs"]


# -- AsyncAPI ------------------------------------------------------------------


def test_the_asyncapi_document_is_one() -> None:
    official = json.loads((ROOT / "tests" / "events" / "asyncapi-3.0.0.json").read_text())
    document = json.loads(json.dumps(asyncapi()))

    assert [error.message for error in Draft7Validator(official).iter_errors(document)] == []


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()

    for reference in words(document, "$ref"):
        found: Any = document
        for word in reference.removeprefix("#/").split("/"):
            assert word in found, reference
            found = found[word]


def test_every_kind_and_every_other_subject_has_a_channel() -> None:
    channels = asyncapi()["channels"]

    steps = {name for name, channel in channels.items() if channel["address"].startswith("steps.")}

    assert steps == {tag.partition("/")[0] for tag in KINDS}
    assert set(channels) - steps == {"agents", "timers.set", "timers.due", "dead"}
    for name, channel in channels.items():
        assert re.findall(r"{(\w+)}", channel["address"]) == list(channel["parameters"])
        assert name not in steps or channel["address"] == "steps.{customer}.{conversation}." + name


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: kind(entry.event))
def test_a_message_of_the_asyncapi_document_fits_its_own_kind_only(entry: Entry) -> None:
    document = asyncapi()
    message = document["components"]["messages"]["tool.started"]
    schema = {**message["payload"], "components": document["components"]}

    fits = Draft7Validator(schema).is_valid(json.loads(payload(entry)))

    assert fits == (kind(entry.event) == "tool.started")


def test_the_headers_are_those_that_the_log_sends() -> None:
    messages = asyncapi()["components"]["messages"]
    fence = {headers.MSG_ID, headers.FENCE, headers.FENCE_SUBJECT}
    schedule = {headers.SCHEDULE, headers.SCHEDULE_TARGET}

    assert set(messages["tool.started"]["headers"]["properties"]) == fence
    assert set(messages["timers.set"]["headers"]["properties"]) == schedule
    assert all(f"`{header}`" in events_markdown() for header in fence)


# -- the page ------------------------------------------------------------------


def test_the_page_is_what_the_types_give(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(module.__file__), run_name="__main__")

    told = "docs/events.md is old: python -m stepfold.events.schema > docs/events.md"
    assert capsys.readouterr().out == events_markdown()
    assert (ROOT / "docs" / "events.md").read_text() == events_markdown(), told


def test_the_page_has_a_section_for_every_kind_and_value() -> None:
    headings = re.findall(r"^### `?([\w.]+)`?$", events_markdown(), re.MULTILINE)
    links = re.findall(r"\]\(#(\w+)\)", events_markdown())

    assert {tag.partition("/")[0] for tag in KINDS} < set(headings)
    assert set(links) <= {heading.lower() for heading in headings}


def test_the_sizes_on_the_page_are_those_of_the_code() -> None:
    assert f"over {config.BLOB_BYTES // 1024} KiB" in events_markdown()
    assert f"over {config.EVENT_BYTES_MAX // 1024**2} MiB" in events_markdown()
    assert f"keeps {RAW_BYTES_MAX // 1024} KiB" in events_markdown()
