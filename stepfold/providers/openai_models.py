"""What OpenAI's models take that differ from one another: how much they may think, and whether a
temperature may be set. One table, by the beginning of a name; a server that speaks OpenAI's API has
other models, of which nothing is known.
"""

from __future__ import annotations

import re

from msgspec import Struct

from stepfold.events.values import Effort

LADDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SNAPSHOT = re.compile(r"^ft:([^:]*).*")


class Takes(Struct, frozen=True):
    """`efforts` that it takes, none when it does not reason; `reasons` when it is not told to."""

    efforts: tuple[str, ...]
    reasons: bool = True


PLAIN = Takes((), reasons=False)
MODELS = (
    ("gpt-3.5", PLAIN),
    ("gpt-4", PLAIN),
    ("chatgpt", PLAIN),
    ("gpt-5-chat", PLAIN),
    ("gpt-5-pro", Takes(("high",))),
    ("gpt-5-codex", Takes(("low", "medium", "high"))),
    ("gpt-5.1-chat", Takes(("medium",))),
    ("gpt-5.1-codex-max", Takes(("low", "medium", "high", "xhigh"))),
    ("gpt-5.1-codex", Takes(("low", "medium", "high"))),
    ("gpt-5.1", Takes(("none", "low", "medium", "high"), reasons=False)),
    ("gpt-5.2-chat", Takes(("medium",))),
    ("gpt-5.2-pro", Takes(("medium", "high", "xhigh"))),
    ("gpt-5.2", Takes(("none", "low", "medium", "high", "xhigh"), reasons=False)),
    ("gpt-5.3-chat", Takes(("medium",))),
    ("gpt-5.3", Takes(("none", "low", "medium", "high", "xhigh"), reasons=False)),
    ("gpt-5.4-pro", Takes(("medium", "high", "xhigh"))),
    ("gpt-5.4", Takes(("none", "low", "medium", "high", "xhigh"), reasons=False)),
    ("gpt-5.5-pro", Takes(("medium", "high", "xhigh"))),
    ("gpt-5.5", Takes(("none", "low", "medium", "high", "xhigh"))),
    ("gpt-5.", Takes(("none", "low", "medium", "high", "xhigh", "max"))),
    ("gpt-5", Takes(("minimal", "low", "medium", "high"))),
    ("gpt-", Takes(("low", "medium", "high", "xhigh", "max"))),
    ("o1", Takes(("low", "medium", "high"))),
    ("o3", Takes(("low", "medium", "high"))),
    ("o4", Takes(("low", "medium", "high"))),
)
"""The first beginning that fits. A newer one than those named takes what the newest took."""


def takes(model: str) -> Takes | None:
    """None: not a model of OpenAI's."""
    name = _SNAPSHOT.sub(r"\1", model.rpartition("/")[2].lower())
    if name.startswith("gpt-oss"):
        return None
    return next((told for begin, told in MODELS if name.startswith(begin)), None)


def reasons(model: str) -> bool:
    """May it reason, and so give thinking that must be sent back?"""
    told = takes(model)
    return told is not None and bool(told.efforts)


def effort(model: str, wanted: Effort) -> str:
    """The nearest effort that the model takes, the higher of two; empty when it takes none."""
    told = takes(model)
    if not wanted:
        return ""
    if told is None:
        return "high" if wanted == "max" else wanted
    place = LADDER.index(wanted)

    def distance(each: str) -> tuple[int, int]:
        return abs(LADDER.index(each) - place), -LADDER.index(each)

    return min(told.efforts, key=distance, default="")


def takes_temperature(model: str, effort: str) -> bool:
    """Not while it reasons; `effort` is what it is sent."""
    told = takes(model)
    if told is None or effort == "none":
        return True
    return not effort and not told.reasons
