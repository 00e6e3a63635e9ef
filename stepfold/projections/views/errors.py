"""What can go wrong with the views. Every text ends in the way out.

ViewsError
├── ViewsMissing        there is no file to read
├── ViewsBusy           another process owns the file
├── ViewsStale          the file is another version's, or none of ours: rebuild
├── ViewsAhead          the log ends before the checkpoint: not the log these views were made of
├── BatchRefused        positions that do not come after the checkpoint, in order
├── ChainBroken         a step follows one that the views never saw
├── ArchiveRefused      a file that is not an archive of steps, or views that are not empty
├── ViewsFull           the memory limit or the disk ended a fold; nothing of it is kept
└── QueryError
    ├── QueryRefused    it would write, reach outside, or ask for what cannot be answered
    ├── QueryTimedOut   it ran longer than its limit
    └── QueryFailed     DuckDB cannot answer it: the words are DuckDB's
"""

from __future__ import annotations


class ViewsError(Exception):
    """The views could not do what was asked."""


class ViewsMissing(ViewsError):
    """There is no file to read."""


class ViewsBusy(ViewsError):
    """Another process owns the file."""


class ViewsStale(ViewsError):
    """The file was made by another version, or is none of ours."""


class ViewsAhead(ViewsError):
    """The log ends before the checkpoint."""


class BatchRefused(ViewsError):
    """Positions that do not come after the checkpoint, in order."""


class ChainBroken(ViewsError):
    """A step follows one that the views never saw."""


class ArchiveRefused(ViewsError):
    """A file that is not an archive of steps, or views that are not empty."""


class ViewsFull(ViewsError):
    """The memory limit or the disk ended a fold."""


class QueryError(ViewsError):
    """A query that has no answer."""


class QueryRefused(QueryError):
    """It would write, reach outside, or ask for what cannot be answered."""


class QueryTimedOut(QueryError):
    """It ran longer than its limit."""


class QueryFailed(QueryError):
    """DuckDB cannot answer it."""
