"""Where stepfold runs and what it runs with: the environment, and the files that people write."""

from stepfold.settings.routes import RoutesRefused, parse_routes, read_routes
from stepfold.settings.settings import Settings, SettingsError, read, read_agent

__all__ = [
    "RoutesRefused",
    "Settings",
    "SettingsError",
    "parse_routes",
    "read",
    "read_agent",
    "read_routes",
]
