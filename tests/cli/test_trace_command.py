"""`stepfold trace export`: what the log tells as spans, printed and sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.cli import exits, trace
from stepfold.observability.spans import spans
from tests.cli.commands import records, run, spawn
from tests.cli.paid import paid_events, paid_log
from tests.observability.made import CALLER_SPAN, CALLER_TRACE, STARTED, WHOLE, recorded
from tests.observability.receiver import Answer, Receiver, receiving
from tests.projections.made import DIGEST, log
from tests.servers import free_port

STEPS = (replace(STARTED, digest=DIGEST), *WHOLE[1:])
NAMES = Counter(span.name for span in spans(recorded(STEPS)))
LATEST = "2026-03-01T09:00:15"
"""When the last step of that conversation was, whose outcome comes after its turn."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with one conversation, acme/c1."""
    return paid_events(tmp_path_factory.mktemp("one"), STEPS)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_log(tmp_path_factory.mktemp("many"), log(seed=7, conversations=12))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def exported(folder: Path, *words: str) -> list[Any]:
    return records(run("trace", "export", *words, data=folder))


# -- printed ------------------------------------------------------------------------------------


def test_a_conversation_is_a_line_a_span_in_its_callers_trace(here: Path) -> None:
    found = exported(here, "c1")

    assert Counter(span["name"] for span in found) == NAMES
    assert {span["trace"] for span in found} == {CALLER_TRACE}
    assert found[0]["parent"] == CALLER_SPAN


def test_the_whole_log_is_what_its_conversations_are_one_by_one(many: Path) -> None:
    steps = records(run("tail", "--after", "0", "--json", data=many))
    names = {f"{step['customer']}/{step['conversation']}" for step in steps}

    whole = exported(many)

    each = [span for name in names for span in exported(many, name)]
    assert len(names) == 12
    assert by_id(whole) == by_id(each)
    assert [span["position"] for span in whole] == sorted(span["position"] for span in whole)


def by_id(found: list[Any]) -> dict[str, Any]:
    ids = {span["id"]: span for span in found}
    assert len(ids) == len(found)
    return ids


def test_a_customers_spans_are_those_of_its_conversations(many: Path) -> None:
    whole = exported(many)
    customer = whole[0]["attributes"]["stepfold.customer"]

    found = exported(many, "--customer", customer)

    assert 0 < len(found) < len(whole)
    assert found == [s for s in whole if s["attributes"]["stepfold.customer"] == customer]


def test_since_leaves_out_what_ended_before(here: Path) -> None:
    (late,) = exported(here, "--since", LATEST)

    assert late["attributes"]["stepfold.shadow"] is True
    assert exported(here, "c1", "--since", LATEST) == [late]
    assert exported(here, "--since", "2026-03-01T09:00:16") == []


# -- sent ---------------------------------------------------------------------------------------


def test_a_conversation_that_is_sent_three_times_has_each_span_once(
    here: Path, receiver: Receiver
) -> None:
    for _ in range(3):
        assert run("trace", "export", "acme/c1", "--to", receiver.url, data=here).exit_code == 0

    found = receiver.spans
    ids = {(span.trace_id, span.span_id) for span in found}
    contents = {span.SerializeToString(deterministic=True) for span in found}
    assert len(found) == 3 * NAMES.total()
    assert len(ids) == len(contents) == NAMES.total()


def test_it_says_how_many_were_sent_and_where(here: Path, receiver: Receiver) -> None:
    said = run("trace", "export", "--to", receiver.url, data=here).stdout
    (told,) = exported(here, "--to", receiver.url, "--json")

    assert said == f"{NAMES.total()} spans sent to {receiver.url}/v1/traces\n"
    assert told == {"spans": NAMES.total(), "to": f"{receiver.url}/v1/traces"}


def test_many_spans_are_sent_while_the_log_is_read(
    many: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "SPANS_MAX", 1)

    (told,) = exported(many, "--to", receiver.url, "--json")

    sent = [span.span_id.hex() for span in receiver.spans]
    assert sent == [span["id"] for span in exported(many)]
    assert told["spans"] == len(sent)


def test_a_password_in_the_address_is_not_shown(here: Path, receiver: Receiver) -> None:
    url = receiver.url.replace("://", "://me:secret@")

    said = run("trace", "export", "--to", url, data=here).stdout

    assert "secret" not in said
    assert "Authorization" in receiver.requests[0].headers


# -- what cannot be -----------------------------------------------------------------------------


def test_a_receiver_that_is_away_is_one_line_and_can_be_tried_again_later(here: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    more = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.2", "STEPFOLD_DATA_DIR": str(here)}

    ended = spawn("trace", "export", "--to", url, **more)

    why = f"no receiver answers at {url}/v1/traces: start it, or name another one"
    assert (ended.returncode, ended.stderr) == (exits.UNAVAILABLE, f"stepfold: {why}\n")


def test_a_receiver_that_refuses_is_told_in_its_own_words(here: Path) -> None:
    with receiving(Answer(401, b"no such key")) as receiver:
        ended = run("trace", "export", "--to", receiver.url, data=here)

    assert ended.exit_code == exits.REFUSED
    assert "401 Unauthorized: no such key" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("never",), exits.REFUSED, "conversation 'never' is not in this log"),
        (("--to", "localhost:4318"), exits.REFUSED, "is no receiver's address"),
        (("--since", "soon"), exits.USAGE, "'soon' is no time"),
        (("c1", "--customer", "acme"), exits.USAGE, "CUSTOMER/CONVERSATION"),
        (("--customer", "a.b"), exits.REFUSED, "customer"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    here: Path, words: tuple[str, ...], code: int, why: str
) -> None:
    ended = run("trace", "export", *words, data=here)

    assert ended.exit_code == code
    assert why in ended.stderr
