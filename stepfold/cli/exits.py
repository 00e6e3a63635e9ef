"""How a command ends: its exit code, and one line on stderr when something is in the way.

    0     done
    1     the answer is no: a difference, a refusal, a failed check, a document that is none
    2     the command line itself is wrong
    3     the log, or a receiver, is unavailable: no server, or it takes no more; try again later
    130   stopped with Ctrl-C, or stopped at once with a second signal
    141   whoever read the output went away (as in `stepfold tail | head`)

Errors are known here by name, so that no room is imported only to catch what it never raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REFUSED, USAGE, UNAVAILABLE, STOPPED, UNREAD = 1, 2, 3, 130, 141

EPILOG = (
    "Exit codes: 0 done; 1 the answer is no (a difference, a refusal, a failed check);"
    " 2 the command line is wrong; 3 the log or a receiver is unavailable; 130 stopped;"
    " 141 output not read."
)

CODES: Mapping[str, int] = {
    "stepfold.cli.exits.CommandRefused": REFUSED,
    "stepfold.evaluation.chat_record.RecordRefused": REFUSED,
    "stepfold.evaluation.replay.ReplayError": REFUSED,
    "stepfold.events.names.EventError": REFUSED,
    "stepfold.handlers.approvals.ApprovalRefused": REFUSED,
    "stepfold.handlers.generation.GenerationError": REFUSED,
    "stepfold.handlers.inbox.InboxRefused": REFUSED,
    "stepfold.knowledge.errors.KnowledgeError": REFUSED,
    "stepfold.observability.otlp.ExportError": REFUSED,
    "stepfold.observability.otlp.ReceiverAway": UNAVAILABLE,
    "stepfold.projections.views.errors.ViewsError": REFUSED,
    "stepfold.providers.overrides.PricesRefused": REFUSED,
    "stepfold.settings.agents.AgentRefused": REFUSED,
    "stepfold.settings.budgets.BudgetsRefused": REFUSED,
    "stepfold.settings.routes.RoutesRefused": REFUSED,
    "stepfold.settings.settings.SettingsError": USAGE,
    "stepfold.streams.archive.ArchiveError": REFUSED,
    "stepfold.streams.ask.AskError": REFUSED,
    "stepfold.streams.ask.AnswerLost": UNAVAILABLE,
    "stepfold.streams.ask.NobodyAnswers": UNAVAILABLE,
    "stepfold.streams.log.LogError": REFUSED,
    "stepfold.streams.log.LogUnavailable": UNAVAILABLE,
    "stepfold.streams.server.ServerError": UNAVAILABLE,
    "stepfold.tasks.brief.TaskRefused": REFUSED,
    "stepfold.channels.slack.config.SlackFileRefused": REFUSED,
    "stepfold.channels.teams.config.TeamsFileRefused": REFUSED,
    "stepfold.sandbox.sandbox.SandboxError": REFUSED,
    "stepfold.tools.files.ToolsRefused": REFUSED,
    "stepfold.tools.function_signature.FunctionRefused": REFUSED,
    "stepfold.tools.http_file.HttpFileRefused": REFUSED,
    "stepfold.tools.mcp_file.McpFileRefused": REFUSED,
    "stepfold.tools.openapi.errors.OpenApiError": REFUSED,
    "stepfold.tools.secrets.SecretMissing": REFUSED,
    "stepfold.tools.oauth_errors.ServerAway": UNAVAILABLE,
    "stepfold.tools.vault.VaultAway": UNAVAILABLE,
    "stepfold.tools.tool.ToolError": REFUSED,
    "builtins.BrokenPipeError": UNREAD,
    "builtins.OSError": REFUSED,
}
"""Every error that a command expects; a subclass ends as its nearest base here does."""

_PASSWORD = re.compile(r"(\w+://)[^/@\s]+@")


class CommandRefused(Exception):
    """What was asked cannot be done; the text says why, and the way out."""


def code(error: BaseException) -> int | None:
    """The exit code for `error`; None when nobody expected it: then it is a bug of ours."""
    names = (f"{base.__module__}.{base.__qualname__}" for base in type(error).__mro__)
    return next((CODES[name] for name in names if name in CODES), None)


def text(error: BaseException) -> str:
    """What happened, in one line, without the password of a server's address."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return hide_password(" ".join(said.split()) or type(error).__name__)


def lines(error: BaseException) -> tuple[str, ...]:
    """What happened: of a file with several mistakes a line for each."""
    problems = getattr(error, "problems", None)
    return tuple(map(hide_password, problems)) if problems else (text(error),)


def hide_password(address: str) -> str:
    return _PASSWORD.sub(r"\1", address)
