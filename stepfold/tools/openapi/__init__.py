"""Tools made from OpenAPI descriptions: see docs/connections.md."""

from __future__ import annotations

from stepfold.tools.openapi.catalogue import catalogue
from stepfold.tools.openapi.credentials import Credentials, StaticHeaders
from stepfold.tools.openapi.errors import ConnectionRefused, DescriptionRefused, OpenApiError
from stepfold.tools.openapi.loading import load_connections
from stepfold.tools.openapi.openapi_tool import OpenApiTool
from stepfold.tools.openapi.operation import Catalogue, Operation
from stepfold.tools.openapi.reading import parse_description, read_description
from stepfold.tools.openapi.selection import select

__all__ = [
    "Catalogue",
    "ConnectionRefused",
    "Credentials",
    "DescriptionRefused",
    "OpenApiError",
    "OpenApiTool",
    "Operation",
    "StaticHeaders",
    "catalogue",
    "load_connections",
    "parse_description",
    "read_description",
    "select",
]
