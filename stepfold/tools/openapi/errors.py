"""What can be wrong with a connection.

OpenApiError
├── DescriptionRefused     a description that nothing can be made of; the text says what and where
└── ConnectionRefused      a connection that cannot be made or loaded; `problems` holds every reason
"""

from __future__ import annotations

from collections.abc import Sequence


class OpenApiError(Exception):
    """A connection cannot be had."""


class DescriptionRefused(OpenApiError):
    """The file is no description that could be used."""


class ConnectionRefused(OpenApiError):
    """What was asked of a connection means nothing; each of `problems` is a line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems: Sequence[str] = problems
