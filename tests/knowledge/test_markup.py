"""HTML becomes text that a person can still read: headings, lists and rows show."""

from __future__ import annotations

from stepfold.knowledge.markup import plain


def test_headings_lists_and_paragraphs_stay_readable() -> None:
    page = "<h2>Fees</h2><p>Two  of\nthem:</p><ul><li>Card: <b>2 %</b><li>Bank: $1</ul><p>End"

    assert plain(page)[1] == "## Fees\n\nTwo of them:\n\n- Card: 2 %\n- Bank: $1\n\nEnd"


def test_a_row_of_a_table_is_a_line() -> None:
    page = "<table><tr><th>Plan</th><th>Price</th></tr><tr><td>Team</td><td>$39</td></tr></table>"

    assert plain(page)[1] == "| Plan | Price\n| Team | $39"


def test_scripts_styles_and_the_head_are_not_text() -> None:
    page = "<head><title>T</title><style>p{}</style></head><script>x()</script><p>Read &amp; me"

    assert plain(page) == ("T", "Read & me")


def test_without_a_title_the_first_heading_names_the_page() -> None:
    assert plain("<h1>Our <i>fees</i></h1><p>None.")[0] == "Our fees"


def test_preformatted_text_keeps_its_lines() -> None:
    assert plain("<pre>a\n  b</pre>")[1] == "a\n  b"
