"""`stepfold serve --metrics`: a page that Prometheus reads, or numbers that are sent."""

from __future__ import annotations

import asyncio
import json
import socket
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.parser import text_string_to_metric_families

from stepfold.app import TRACES
from stepfold.cli import exits
from stepfold.handlers.table import LANES
from tests.cli.commands import first_line, run, running
from tests.observability.receiver import Receiver, receiving
from tests.waiting import eventually

LIMIT_S = 20.0
EVERY = {"OTEL_METRIC_EXPORT_INTERVAL": "100"}


def ask(data: Path, conversation: str = "c1") -> None:
    words = ("publish", "What does it cost?", "--customer", "acme", "--wait", "30")
    assert run(*words, "--conversation", conversation, data=data).exit_code == 0


def scraped(address: str) -> dict[tuple[str, ...], float]:
    """What the page says, by name and labels, which stand in the order of their own names."""
    with urlopen(address, timeout=LIMIT_S) as answer:
        page = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def turns(receiver: Receiver) -> list[Metric]:
    name = "stepfold_turn_seconds"
    return [metrics[name] for metrics in receiver.metrics if name in metrics]


def test_a_page_counts_what_another_process_does(tmp_path: Path) -> None:
    more = {"STEPFOLD_DATA_DIR": str(tmp_path)}
    with (
        running("serve", "--json", **more) as works,
        running("serve", "--only", "tool", "--metrics", "0", "--json", **more) as counts,
    ):
        first_line(works)
        address = json.loads(first_line(counts))["metrics"]
        ask(tmp_path)
        turn = ("stepfold_turn_seconds_count", "acme", "answered")
        asyncio.run(eventually(lambda: scraped(address).get(turn), LIMIT_S))
        page = scraped(address)

    assert page["stepfold_steps_total", "response.given"] == 1
    assert page["stepfold_model_seconds_count", "extractive", "answered", "extractive"] == 2
    assert page["stepfold_tokens_total", "acme", "input", "extractive", "extractive"] > 0


def test_how_each_lane_stands_is_on_the_page(tmp_path: Path) -> None:
    with receiving() as receiver:
        words = ("serve", "--metrics", "0", "--traces", receiver.url, "--json")
        with running(*words, STEPFOLD_DATA_DIR=str(tmp_path)) as process:
            page = scraped(json.loads(first_line(process))["metrics"])

    lanes = {labels[0] for name, *labels in page if name == "stepfold_lane_waiting"}
    assert lanes == {*LANES, "timer", TRACES}


def test_a_url_is_where_they_are_sent(tmp_path: Path) -> None:
    with receiving() as receiver:
        words = ("serve", "--metrics", receiver.url, "--json")
        with running(*words, STEPFOLD_DATA_DIR=str(tmp_path), **EVERY) as process:
            said = json.loads(first_line(process))
            ask(tmp_path)
            found = asyncio.run(eventually(partial(turns, receiver), LIMIT_S))

    (point,) = found[-1].histogram.data_points
    assert said["metrics"] == f"{receiver.url}/v1/metrics"
    assert {each.value.string_value for each in point.attributes} == {"acme", "answered"}


def test_a_port_that_is_taken_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", "--metrics", port, data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert f"--metrics 127.0.0.1:{port}: " in ended.stderr
    assert "address already in use: name another port, or 0" in ended.stderr


@pytest.mark.parametrize(
    ("told", "code", "why"),
    [
        ("here", exits.USAGE, "give [HOST:]PORT, as 9464"),
        ("ftp://here", exits.REFUSED, "is no receiver's address"),
    ],
)
def test_what_is_no_place_is_refused(tmp_path: Path, told: str, code: int, why: str) -> None:
    ended = run("serve", "--metrics", told, data=tmp_path)

    assert ended.exit_code == code
    assert why in " ".join(ended.stderr.split())


def test_an_interval_that_is_none_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "soon")

    ended = run("serve", "--metrics", "http://localhost:4318", data=tmp_path)

    assert ended.exit_code == exits.USAGE
    assert "number of milliseconds" in " ".join(ended.stderr.split())
