"""What is not to be had, and what the floors below refuse, as the gateway tells it.

FrontRefused    it becomes problem details (problems.py)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from stepfold.events.event import ConversationStarted
from stepfold.events.names import NameRefused
from stepfold.gateway.principal import VISITOR, Principal
from stepfold.handlers.approvals import ApprovalRefused
from stepfold.handlers.inbox import InboxRefused
from stepfold.streams.ask import AskError, AskRefused
from stepfold.streams.log import AgentUnknown, LogError, LogRefused, LogUnavailable

log = logging.getLogger("stepfold.gateway")


class FrontRefused(Exception):
    """`status` as in HTTP; `title` names the kind of problem, `detail` this one and the way out."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail


class Overtaken(FrontRefused):
    """Something was recorded meanwhile, so that the conversation is not where it was thought to be:
    nothing was said.
    """

    def __init__(self, conversation: str) -> None:
        why = f"conversation {conversation!r} has gone on meanwhile: read it, and say it again"
        super().__init__(409, "Overtaken", why)


def used_again(what: str) -> FrontRefused:
    why = f"{what} was another one: take a new id (Idempotency-Key) for what is new"
    return FrontRefused(409, "Id used again", why)


def nothing(conversation: str) -> FrontRefused:
    return FrontRefused(404, "No such conversation", f"there is no conversation {conversation!r}")


def refuse_bound(who: Principal, conversation: str) -> None:
    if who.conversation and who.conversation != conversation:
        raise nothing(conversation)


def refuse_strange(who: Principal, conversation: str, started: ConversationStarted) -> None:
    """A visitor has what its own contact began."""
    if VISITOR in who.scopes and started.contact != who.contact:
        raise nothing(conversation)


@contextmanager
def refusing() -> Iterator[None]:
    """What the floors below refuse, as the gateway tells it."""
    try:
        yield
    except NameRefused as error:
        raise FrontRefused(422, "Wrong name", str(error)) from error
    except (InboxRefused, ApprovalRefused) as error:
        raise FrontRefused(409, "Not possible now", str(error)) from error
    except AskRefused as error:
        raise FrontRefused(422, "Query refused", str(error)) from error
    except AskError as error:
        why = f"{error}; the views are kept by `stepfold serve`"
        raise FrontRefused(503, "Views unavailable", why) from error
    except AgentUnknown as error:
        raise FrontRefused(404, "No such agent", str(error)) from error
    except LogRefused as error:
        raise FrontRefused(413, "Too large", str(error)) from error
    except LogUnavailable as error:
        log.warning("%s", error)  # where the log is and why it is away is no caller's business
        why = "the log is away: try again later"
        raise FrontRefused(503, "Log unavailable", why) from error
    except LogError as error:
        raise FrontRefused(409, "Not possible now", str(error)) from error
