"""What an answer is told in: items that follow each other, and of which none is taken back."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from stepfold.events.values import Arguments, Finish, Usage
from stepfold.gateway.placing import Placed

PAUSE = "\n\n"
"""Between what is said before a tool is called and what is said after it."""


class Began(Struct, frozen=True):
    """The model is asked; the first time, and again after its tools."""

    ask: str


class Piece(Struct, frozen=True):
    """The next characters of a part; there is one part for each ask that says something."""

    part: str
    text: str


class Thought(Struct, frozen=True):
    """The next characters of what the model thinks. Never the answer's, and never taken back."""

    call: str
    text: str


class Told(Struct, frozen=True):
    """A part is complete and was not the answer: tools are called after it."""

    part: str
    text: str


class Called(Struct, frozen=True):
    """A tool is called. Without the right to read there are no arguments."""

    call: str
    name: str
    arguments: Arguments


class Settled(Struct, frozen=True):
    """What became of a call; `result` is JSON, with the right to read. `why` says what went wrong,
    and is empty where nothing did.
    """

    call: str
    name: str
    result: Any = None
    why: str = ""


class Waits(Struct, frozen=True):
    """The call waits until people agree to it."""

    call: str
    name: str
    expires_s: float


class Given(Struct, frozen=True):
    """The answer; all its pieces were told. `before` are the parts that were told before it.
    `usage` is of the whole turn, None where a model did not tell it.
    """

    turn: int
    part: str
    text: str
    before: tuple[str, ...] = ()
    citations: tuple[Placed, ...] = ()
    outcome: str = "answer"
    finish: Finish = "stop"
    usage: Usage | None = None

    @property
    def whole(self) -> str:
        """Everything that was said, as a client with one text has it."""
        return PAUSE.join((*self.before, self.text))


Kind = Literal["abandoned", "cancelled", "stopped", "unsaid"]


class Ended(Struct, frozen=True):
    """There is no answer; `reason` is a word of ours."""

    kind: Kind
    reason: str
    detail: str = ""
    usage: Usage | None = None

    @property
    def why(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


Item = Began | Piece | Thought | Told | Called | Settled | Waits | Given | Ended
