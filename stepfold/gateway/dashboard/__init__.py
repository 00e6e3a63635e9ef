"""What operators look at: conversations, money, times, tools and what waits for a person."""

from stepfold.gateway.dashboard.dashboard import routes

__all__ = ["routes"]
