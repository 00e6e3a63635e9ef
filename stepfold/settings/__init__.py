"""Where stepfold runs and what it runs with: the environment, and the files that people write."""

from stepfold.settings.agents import AgentRefused, parse_agent, read_agent
from stepfold.settings.routes import RoutesRefused, parse_routes, read_routes
from stepfold.settings.settings import Settings, SettingsError, read

__all__ = [
    "AgentRefused",
    "RoutesRefused",
    "Settings",
    "SettingsError",
    "parse_agent",
    "parse_routes",
    "read",
    "read_agent",
    "read_routes",
]
