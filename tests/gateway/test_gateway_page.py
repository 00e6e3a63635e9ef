"""The page about the gateway says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from stepfold.gateway.doors import BODY_BYTES_MAX
from stepfold.gateway.front import OPERATOR, SCOPES
from stepfold.gateway.limits import Limits, Rate
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
