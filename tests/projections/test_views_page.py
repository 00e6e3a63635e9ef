"""docs/views.md is the schema that users read: it must be the one that there is."""

from pathlib import Path

from stepfold.projections.views import Views
from stepfold.projections.views.page import ORDER, page

PAGE = Path(__file__).parents[2] / "docs" / "views.md"


def test_the_page_shows_todays_views() -> None:
    told = "docs/views.md is old: python -m stepfold.projections.views.page > docs/views.md"

    assert PAGE.read_text() == page(), told


def test_every_view_is_on_the_page(views: Views) -> None:
    names = views.query("SELECT name FROM (SHOW TABLES)").table["name"].to_pylist()

    assert sorted(names) == sorted(ORDER)


def test_every_view_and_column_says_what_it_means(views: Views) -> None:
    silent = views.query(
        "SELECT table_name, column_name FROM duckdb_columns()"
        " WHERE schema_name = 'main' AND NOT internal AND comment IS NULL"
    ).table.to_pylist()

    assert silent == []
