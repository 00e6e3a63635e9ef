"""`agents/*.toml` or `.yaml`: what an agent is told and may do. docs/agents.md describes the file.

AgentRefused    it cannot be read, or means nothing: every mistake with its line
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stepfold.policy.agent import Agent, encode_agent
from stepfold.settings.agent_text import TextRefused, read_text
from stepfold.settings.settings import SettingsError

AGENT_BYTES_MAX = 900_000
"""Of a version as it is kept; a message of the log holds little more."""


class AgentRefused(SettingsError):
    """A file that is no agent. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_agent(path: Path) -> Agent:
    """The agent in a file; AgentRefused. Two files that say the same are the same version."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AgentRefused((f"agent file {path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise AgentRefused((f"agent file {path}: it is not UTF-8: save it as UTF-8",)) from error
    return parse_agent(text, path)


def parse_agent(text: str, path: Path) -> Agent:
    """The agent that `text` describes; `path` stands before each mistake in it, its ending says
    which form it has, and files that it names are beside it.
    """
    from stepfold.settings.agent_problems import key_of  # noqa: PLC0415
    from stepfold.settings.agent_reading import Reading  # noqa: PLC0415  (pydantic is slow)

    try:
        written = read_text(text, path.suffix)
        reading = Reading(written.told, path.parent)
        agent = reading.agent()
    except TextRefused as error:
        raise AgentRefused(_told(path, error.problems)) from error
    except RecursionError as error:
        why = "it is nested too deeply; write it flatter"
        raise AgentRefused(_told(path, [(0, why)])) from error
    if agent is None:
        line_of = written.line_of()
        found = ((line_of(at), f"{key_of(at)}: {why}") for at, why in reading.problems)
        raise AgentRefused(_told(path, found))
    size = len(encode_agent(agent))
    if size > AGENT_BYTES_MAX:
        why = f"an agent has at most {AGENT_BYTES_MAX:,} bytes; shorten the instructions"
        raise AgentRefused((f"{path}: {size:,} bytes: {why}",))
    return agent


def _told(path: Path, problems: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(
        f"{path}:{line}: {why}" if line else f"{path}: {why}"
        for line, why in sorted(dict.fromkeys(problems))
    )
