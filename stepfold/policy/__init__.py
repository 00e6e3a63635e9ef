"""What an agent may do."""

from stepfold.policy.agent import Agent, Limits, digest, offered
from stepfold.policy.toolspec import ToolSpec

__all__ = ["Agent", "Limits", "ToolSpec", "digest", "offered"]
