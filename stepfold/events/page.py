"""The page docs/events.md: every kind with its fields, its author, its pair and an example."""

from __future__ import annotations

from textwrap import fill

import msgspec
from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, Unreadable
from stepfold.events.examples import examples
from stepfold.events.meanings import APPENDED_BY, field_meaning, kind_of, meaning, pair
from stepfold.events.structs import KINDS, Json, reachable, structs
from stepfold.events.wire import UPCASTERS, Envelope, encode, subject

LINE_CHARS = 100

_HEAD = """\
# Events

Generated from the types (`python -m stepfold.events.schema > docs/events.md`); do not edit.

Everything that happens in a conversation is a step, and a step is one message in the JetStream
stream `steps`, on the subject

    steps.<customer>.<conversation>.<noun>.<verb>

The subject holds the address: customer, conversation and kind. The payload holds everything else:
one JSON object, the envelope, with the event in it. A kind's tag is `noun.verb/version`. A request
ends in `requested`; it gets exactly one outcome, with the same `call`. `stepfold schema events`
and `stepfold schema asyncapi` print the same for machines.
"""

_HEADERS = """\
## Headers

Every append is fenced: it is taken only if the conversation still ends at the position that its
writer had read. Header names are case-sensitive; with a wrong one there is no fence and no error.

| header | value |
|---|---|
| `Nats-Expected-Last-Subject-Sequence` | the position it was decided on: `after` |
| `Nats-Expected-Last-Subject-Sequence-Subject` | `steps.<customer>.<conversation>.>` |
| `Nats-Msg-Id` | the step's id, only where nothing recorded caused it: it came from outside |
"""

_BLOBS = """\
## Blobs

The event of a payload over 256 KiB is kept in the object store `blobs`, named by the SHA-256 of the
whole payload. In the step stands then only the event's `type`, and in `blob` the name. Readers put
the event back before they decode. An append over 32 MiB is refused.

    {"id":"...","at":"...","after":7,"event":{"type":"tool.returned/1"},"by":"tool",\
"blob":"sha256:..."}
"""


_UNREADABLE = """\
## Unreadable steps

A step is unreadable when its payload is not JSON or not an envelope, when its event does not fit
its kind, when its kind is unknown or from a newer version, when subject and payload name different
kinds, when its blob is lost, or when it does not follow the step before it (a broken chain:
somebody published without the fence, or steps were removed). A reader puts an `Unreadable` in its
place, which is never sent, and keeps 64 KiB of the payload at most. It makes its own conversation
unreadable, and no other.
"""

_VERSIONS = """\
## Versions and upcasters

A tag is never renamed. A kind may get a new field with a default; readers pass over fields that
they do not know. Any other change is a new version with a tag of its own, and an upcaster
(`UPCASTERS` in `stepfold/events/wire.py`), which gives the old event in the new form when it is
read. What is stored is never rewritten. A version that is newer than the reader makes the step
unreadable until the reader is upgraded.
"""


def events_markdown() -> str:
    """The page docs/events.md."""
    schemas, shown = structs("#/$defs/"), examples()
    used = {found for struct in KINDS.values() for found in reachable((struct,))}
    values = sorted(used - set(KINDS.values()), key=lambda struct: struct.__name__)
    sections = (
        _HEAD,
        "## The envelope\n",
        _fields_table(Envelope, schemas["Envelope"]),
        _HEADERS,
        _BLOBS,
        _UNREADABLE,
        _fields_table(Unreadable, _unreadable()),
        _VERSIONS,
        _upcasters(),
        "## Kinds\n",
        *(_kind(tag, struct, schemas, shown[struct]) for tag, struct in KINDS.items()),
        "## Values\n",
        *(_value(struct, schemas) for struct in values),
    )
    return "\n".join(sections)


def _kind(tag: str, struct: type[Event], schemas: dict[str, Json], entry: Entry) -> str:
    said = (
        f"Tag `{tag}`, type `{struct.__name__}`.",
        meaning(struct),
        pair(struct),
        f"Appended by {APPENDED_BY[struct]}.",
    )
    payload = msgspec.json.format(encode(entry, at=entry.at, after=entry.after), indent=2).decode()
    sections = (
        f"### `{kind_of(struct)}`\n",
        fill(" ".join(filter(None, said)), LINE_CHARS, break_on_hyphens=False) + "\n",
        _fields_table(struct, schemas[struct.__name__]),
        f"On `{subject(entry)}`:\n",
        f"```json\n{payload}\n```\n",
    )
    return "\n".join(sections)


def _value(struct: type[Struct], schemas: dict[str, Json]) -> str:
    said = fill(meaning(struct), LINE_CHARS, break_on_hyphens=False)
    table = _fields_table(struct, schemas[struct.__name__])
    return "\n".join(filter(None, (f"### {struct.__name__}\n", said and said + "\n", table)))


def _unreadable() -> Json:
    _, found = msgspec.json.schema_components([Unreadable])
    schema: Json = found["Unreadable"]
    return schema


def _upcasters() -> str:
    names = ", ".join(f"`{tag}`" for tag in UPCASTERS)
    return f"Tags that are brought up to date when they are read: {names or 'none yet'}.\n"


def _fields_table(struct: type[Struct], schema: Json) -> str:
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        if name != "type":
            default = _default(field) if name not in schema["required"] else "required"
            rows.append(
                f"| `{name}` | {_type(field)} | {default} | {field_meaning(struct, name)} |"
            )
    return "\n".join(rows) + "\n"


def _default(field: Json) -> str:
    return f"`{msgspec.json.encode(field['default']).decode()}`"


def _type(field: Json) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("format") == "decimal":
        return "decimal in a string"
    return str(field.get("type", "any JSON"))
