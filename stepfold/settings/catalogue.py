"""What models can do: `catalogue.toml`, and what genai-prices knows of them.

A model is known when genai-prices has its name at this provider, or when the catalogue has it in
full. Anything else must be declared by whoever wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.routing import Can

if TYPE_CHECKING:
    from genai_prices.types import Provider

Does = Literal["answer", "embed", "rerank", "other"]
SHIPPED = "shipped"
"""The table of the models without a provider, which come with stepfold itself."""
SAME: Mapping[str, str] = {"vertex": "google"}
"""Providers that serve the models of another one."""
PATTERNS = frozenset("*?[")


class Skills(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model does, and what it can; `context` is in tokens, 0 = not known."""

    does: Does = "answer"
    tools: bool = True
    vision: bool = False
    structured: bool = True
    context: int = 0

    @property
    def can(self) -> Can:
        return Can(self.tools, self.vision, self.structured, self.context)


@cache
def catalogue() -> Mapping[str, Mapping[str, Skills]]:
    """By provider, and by pattern in the order of the file."""
    written = Path(__file__).with_name("catalogue.toml").read_bytes()
    return msgspec.toml.decode(written, type=dict[str, dict[str, Skills]])


def providers() -> tuple[str, ...]:
    """Those that ship: their models need no declaration."""
    return (*(name for name in catalogue() if name != SHIPPED), *SAME)


def skills(name: str) -> Skills | None:
    """What the model `provider/model` can do; None when it is not known."""
    provider, slash, model = name.partition("/")
    if not slash:
        return catalogue()[SHIPPED].get(name)
    table = catalogue().get(SAME.get(provider, provider))
    if table is None or not model:
        return None
    context = _context(provider, model)
    if context is None and model not in table:
        return None
    fits = (found for pattern, found in table.items() if fnmatchcase(model.lower(), pattern))
    found = next(fits, Skills(does="other"))
    return replace(found, context=context or found.context)


def like(name: str) -> str:
    """A known model whose name is nearly this one's, else empty."""
    provider, slash, model = name.partition("/")
    if not slash:
        return _near(name, catalogue()[SHIPPED])
    if provider not in providers():
        near = _near(provider, providers())
        return f"{near}/{model}" if near and skills(f"{near}/{model}") else ""
    near = _near(model, _names(provider))
    return f"{provider}/{near}" if near else ""


def _near(word: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.75)), "")


def _names(provider: str) -> Iterator[str]:
    book = _book(provider)
    yield from (model.id for model in (book.models if book else ()))
    table = catalogue()[SAME.get(provider, provider)]
    yield from (pattern for pattern in table if not PATTERNS & set(pattern))


def _context(provider: str, model: str) -> int | None:
    """How many tokens it takes, 0 when that is not told; None when genai-prices knows no model of
    this name.
    """
    book = _book(provider)
    found = book.find_model(model) if book else None
    return None if found is None else found.context_window or 0


@cache
def _book(provider: str) -> Provider | None:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  (half a second)

    wanted = SAME.get(provider, provider)
    return next((each for each in get_snapshot().providers if each.id == wanted), None)
