"""`stepfold serve --traces`: spans go out while the log grows, and none is lost on the way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stepfold.cli import exits
from tests import servers
from tests.cli.commands import LIMIT_S, environ, first_line, records, run, running
from tests.observability.made import CALLER_SPAN, CALLER_TRACE, TRACEPARENT
from tests.observability.receiver import Answer, Receiver, receiving
from tests.servers import Server, free_port
from tests.waiting import eventually

SECONDS = "30"
HASTE = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.3"}
BUSY = [Answer(503)] * 1_000
"""A receiver that takes nothing for as long as a test wants."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@contextmanager
def serving(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    more = {"STEPFOLD_DATA_DIR": str(folder), **HASTE}
    with running("serve", "--traces", url, "--json", **more) as process:
        assert f'"traces":"{url}/v1/traces"' in first_line(process)
        yield process


def ask(conversation: str, *words: str, data: Path | None = None, url: str | None = None) -> None:
    publish = ("publish", "What does it cost?", "--customer", "acme", "--wait", SECONDS, *words)
    ended = run(*publish, "--conversation", conversation, data=data, url=url)
    assert ended.exit_code == 0, ended.output


def exported(data: Path | None = None, url: str | None = None) -> Counter[str]:
    """The spans that the log has, by id."""
    return Counter(span["id"] for span in records(run("trace", "export", data=data, url=url)))


def soon(condition: Callable[[], object], within_s: float = 20) -> None:
    asyncio.run(eventually(condition, within_s))


def came(receiver: Receiver) -> Counter[str]:
    return Counter(span.span_id.hex() for span in receiver.spans)


def test_the_spans_of_a_turn_arrive_when_it_ends(tmp_path: Path, receiver: Receiver) -> None:
    with serving(tmp_path, receiver.url):
        ask("c1", data=tmp_path)
        ask("c2", data=tmp_path)
        wanted = exported(tmp_path)
        soon(lambda: came(receiver) == wanted)

    assert len(wanted) == 8
    assert set(wanted.values()) == {1}


def test_a_callers_span_is_the_parent_in_the_process_that_answers(
    tmp_path: Path, receiver: Receiver
) -> None:
    with serving(tmp_path, receiver.url):
        ask("called", "--traceparent", TRACEPARENT, data=tmp_path)
        soon(lambda: receiver.spans)

    root, *below = receiver.spans
    assert root.parent_span_id.hex() == CALLER_SPAN
    assert {span.trace_id.hex() for span in receiver.spans} == {CALLER_TRACE}
    assert {span.parent_span_id for span in below} == {root.span_id}


def test_what_was_there_before_is_for_the_export(tmp_path: Path, receiver: Receiver) -> None:
    with running("serve", "--json", STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        first_line(process)
        ask("before", data=tmp_path)
    old = exported(tmp_path)

    with serving(tmp_path, receiver.url):
        ask("after", data=tmp_path)
        new = exported(tmp_path) - old
        soon(lambda: came(receiver) == new)


def test_a_receiver_that_is_away_delays_nobody_and_gets_all_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    with serving(tmp_path, f"http://127.0.0.1:{port}") as process:
        for conversation in ("c1", "c2", "c3"):
            ask(conversation, data=tmp_path)
        wanted = exported(tmp_path)
        with receiving(port=port) as receiver:
            soon(lambda: came(receiver) == wanted)
            process.terminate()
            _, said = process.communicate(timeout=LIMIT_S)

    assert len(wanted) == 12
    assert f"the traces wait: no receiver answers at http://127.0.0.1:{port}/v1/traces" in said
    assert said.count("the traces wait") == said.count("the traces go on") == 1


def test_stopping_does_not_wait_for_a_receiver_and_the_next_process_goes_on(
    tmp_path: Path,
) -> None:
    with receiving(*BUSY) as receiver:
        with serving(tmp_path, receiver.url) as process:
            ask("c1", data=tmp_path)
            soon(lambda: receiver.asked)
            process.terminate()
            assert process.wait(10) == 0
        receiver.answers.clear()
        with serving(tmp_path, receiver.url):
            wanted = exported(tmp_path)
            soon(lambda: came(receiver) == wanted)


# -- killed -------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with servers.running(tmp_path) as server:
        yield server


@contextmanager
def telling(url: str, place: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.teller", url, place],
        env=environ(**HASTE),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first_line(process) == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_killed_process_had_in_hand_is_told_by_another(
    server: Server, tmp_path: Path
) -> None:
    with receiving(*BUSY) as receiver:
        place = f"{receiver.url}/v1/traces"
        with telling(server.url, place) as killed:
            with running("serve", "--json", NATS_URL=server.url, STEPFOLD_DATA_DIR=str(tmp_path)):
                ask("c1", url=server.url)
                ask("c2", url=server.url)
            soon(lambda: receiver.asked)
            killed.kill()
            killed.wait(LIMIT_S)
        receiver.answers.clear()
        with telling(server.url, place):
            wanted = exported(url=server.url)
            soon(lambda: came(receiver) == wanted)

    assert len(wanted) == 8


# -- what cannot be -----------------------------------------------------------------------------


def test_what_is_no_receivers_address_is_refused_before_anything_starts(tmp_path: Path) -> None:
    ended = run("serve", "--traces", "localhost:4318", data=tmp_path / "new")

    assert ended.exit_code == exits.REFUSED
    assert "give one as http://localhost:4318" in ended.stderr
    assert not (tmp_path / "new").exists()


def test_a_password_in_the_address_is_not_shown(tmp_path: Path, receiver: Receiver) -> None:
    url = receiver.url.replace("://", "://me:secret@")
    more = {"STEPFOLD_DATA_DIR": str(tmp_path)}

    with running("serve", "--traces", url, "--json", **more) as process:
        said = first_line(process)
        ask("c1", data=tmp_path)
        soon(lambda: receiver.spans)

    assert "secret" not in said
    assert "Authorization" in receiver.requests[0].headers
