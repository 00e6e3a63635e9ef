"""The page about the gateway says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from stepfold.gateway.doors import BODY_BYTES_MAX
from stepfold.gateway.limits import Limits, Rate
from stepfold.gateway.principal import OPERATOR, SCOPES
from stepfold.gateway.serving import CONNECTIONS_MAX, KEEP_S, PATIENCE
from stepfold.gateway.streaming import PULSE_S
from stepfold.gateway.table import DOORS

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()


def test_its_limits_are_those_of_the_code() -> None:
    said = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    limits = {name: getattr(Limits(), name) for name in Limits.__struct_fields__}

    rates = {name: each for name, each in limits.items() if isinstance(each, Rate)}
    assert {name: Rate(float(per_s), float(burst)) for name, per_s, burst in said} == rates
    for number in (Limits().streams, Limits().visitor_streams, BODY_BYTES_MAX, int(PULSE_S)):
        assert f"{number:,} " in PAGE


def test_its_scopes_are_those_of_the_code() -> None:
    said = PAGE.split("| scope | opens |")[1].split("\n\n")[0]

    assert re.findall(r"^\| `(\w+)`", said, re.MULTILINE) == [*SCOPES, OPERATOR]


def test_every_door_that_it_names_is_there() -> None:
    named = re.findall(r"`(GET|POST) (/[\w/{}.]*)`", PAGE)
    there = {(door.method, door.path.replace("{conversation}", "{c}")) for door in DOORS}

    assert named
    assert set(named) <= there


def test_every_door_of_its_own_is_named() -> None:
    named = {path for _, path in re.findall(r"`(GET|POST) (/[\w/{}.]*)`", PAGE)}
    own = {
        door.path.replace("{conversation}", "{c}").removesuffix("/deny")
        for door in DOORS
        if door.about is not None and door.about.tag in ("conversations", "approvals", "gateway")
    }

    assert own - {"/v1/conversations/{c}/approvals/{call}"} <= named


def test_its_connections_are_those_of_the_code() -> None:
    said = " ".join(PAGE.split())

    assert f"within {PATIENCE.head_s:g} s is closed" in said
    assert f"silent for {KEEP_S} s" in said
    assert f"may have {PATIENCE.connections:,} connections" in said
    assert f"the process {CONNECTIONS_MAX:,}." in said
