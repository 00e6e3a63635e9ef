"""Where a key of a TOML file stands: tables that only the heads of others name have a line too."""

from __future__ import annotations

import pytest

from stepfold.providers.toml_lines import Lines, Place

TEXT = """\
[a]
x = 1

[b.c.d]
y = 2
[b.c]
z = 3

[[b.list]]
[b.list.deep.deeper]
w = 4
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("b",), 4),
        (("b", "nothing"), 4),
        (("b", "c"), 6),
        (("b", "c", "d"), 4),
        (("b", "list", 0), 9),
        (("b", "list", 0, "deep"), 10),
        (("b", "list", 0, "deep", "nothing"), 10),
        (("nothing",), 1),
    ],
)
def test_a_table_is_where_its_head_is_or_where_another_head_first_names_it(
    place: Place, line: int
) -> None:
    assert Lines(TEXT).of(place) == line
