"""What an agent may do."""

from stepfold.policy.agent import Agent, Limits, digest, offered

__all__ = ["Agent", "Limits", "digest", "offered"]
