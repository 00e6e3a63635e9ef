"""What keeps a function from being a tool, beside what its signature shows by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from msgspec import Struct

from stepfold.policy.effect import EFFECTS, Effect, Recovery
from stepfold.policy.schema import mismatch
from stepfold.policy.toolspec import OWN
from stepfold.tools.function_schema import TYPES, Returned, wrong_type
from stepfold.tools.function_signature import FunctionRefused, Signature, bare, place

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Anything = Callable[..., Any]


class Said(Struct, frozen=True):
    """What is said of a tool beside its function."""

    effect: Effect | None
    recovery: Recovery
    trusted: bool
    timeout_s: float
    name: str
    lookup: Anything | None


def refuse(function: Anything, problems: Sequence[str]) -> None:
    if problems:
        name = getattr(function, "__qualname__", type(function).__name__)
        head = f"{place(function)}: {name}"
        raise FunctionRefused(tuple(f"{head}: {why}" for why in problems))


def misstated(said: Said) -> Iterator[str]:
    if said.effect is None:
        way_out = '@tool(effect="read") if it changes nothing, else "write" or "external"'
        yield f"its effect must be said: write {way_out}"
    elif said.effect not in EFFECTS:
        yield f"effect {said.effect!r} is none: write one of {', '.join(EFFECTS)}"
    if said.recovery not in get_args(Recovery):
        yield f"recovery {said.recovery!r} is none: write one of {', '.join(get_args(Recovery))}"
    elif said.lookup is not None and said.recovery != "reconcile":
        yield 'nobody asks its lookup: write recovery="reconcile", or leave the lookup out'
    if not NAME.fullmatch(said.name):
        way_out = 'say another, as @tool(..., name="order_status")'
        yield f"the name {said.name!r} is not 1 to 64 of A-Z, a-z, 0-9, _ and -: {way_out}"
    elif said.name in OWN:
        yield f'the name {said.name!r} is of a tool that agents have: say another (name="...")'
    if type(said.timeout_s) not in (int, float) or not 0 <= said.timeout_s < math.inf:
        yield f"timeout_s {said.timeout_s!r} is no time: write seconds, 0 for the agent's own limit"


def untold(signature: Signature, said: Said) -> Iterator[str]:
    """What a model could not be told."""
    if not signature.description:
        yield "it says nothing of itself: begin its body with a docstring for the model"
    for each in signature.parameters:
        if why := wrong_type(each.annotation):
            yield f"parameter {each.name!r}: {why}: take {TYPES}"
    if why := wrong_type(signature.returns, returned=True):
        yield f"what it returns: {why}: return {TYPES}"
    elif said.recovery == "reconcile" and not mismatch(None, Returned(signature.returns).schema):
        way_out = "return what its lookup can tell from that, such as dict[str, Any]"
        yield f"it may return None, which a lookup says of what did not happen: {way_out}"


def foreign(signature: Signature, known: Mapping[str, Any], name: str) -> Iterator[str]:
    for each in signature.parameters:
        if each.name not in known:
            listed = ", ".join(known) or "none"
            yield f"{name!r} has no parameter {each.name!r}: take some of its own ({listed})"
        elif bare(each.annotation) != known[each.name]:
            yield f"parameter {each.name!r} has another type in {name!r}: write the same"
