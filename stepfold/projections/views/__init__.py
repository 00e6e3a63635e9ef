"""The views: every step of the log as rows in DuckDB, and guarded SQL over them.

Only this room knows duckdb and pyarrow; what a view shows of a step is SQL, in `sql/`.
"""

from stepfold.projections.views.errors import (
    ArchiveRefused,
    BatchRefused,
    ChainBroken,
    QueryError,
    QueryFailed,
    QueryRefused,
    QueryTimedOut,
    ViewsAhead,
    ViewsBusy,
    ViewsError,
    ViewsFull,
    ViewsMissing,
    ViewsStale,
)
from stepfold.projections.views.forms import FORMATS, Format, render
from stepfold.projections.views.query import Answer
from stepfold.projections.views.views import Views, rebuilding

__all__ = [
    "FORMATS",
    "Answer",
    "ArchiveRefused",
    "BatchRefused",
    "ChainBroken",
    "Format",
    "QueryError",
    "QueryFailed",
    "QueryRefused",
    "QueryTimedOut",
    "Views",
    "ViewsAhead",
    "ViewsBusy",
    "ViewsError",
    "ViewsFull",
    "ViewsMissing",
    "ViewsStale",
    "rebuilding",
    "render",
]
