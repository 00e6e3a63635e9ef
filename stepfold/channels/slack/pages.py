"""One screen on as many messages as it takes: Slack refuses one whose blocks say too much together.
Pure.

What was shown on a page stays there while more is said: a page ends at the first good place after
`PAGE_CHARS`, not at the last one before its limit. So a stream never has to take words back.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from stepfold.channels.slack.blocks import Block, context, escaped, weight
from stepfold.channels.slack.screen import TOO_LONG, Screen

PAGE_CHARS, LINE_CHARS_MAX, PAGE_CHARS_MAX = 8_000, 9_000, 10_000
"""Escaped. From the first on a page ends with a line, from the second on with a word, at the last
wherever it is.
"""
MESSAGE_CHARS_MAX = 12_500
"""Of all blocks together: Slack refuses from about 13,200 on (slackapi/bolt-js#2509)."""
LINES_CHARS = 2_600
"""What the tasks may take, where there is no timeline."""
BELOW_MAX = 40
PAGES_MAX = 12


def pages(screen: Screen) -> tuple[Screen, ...]:
    """At least one, each the same as long as it shows the same. All but the last are over."""
    texts = parted(screen.text)
    below = screen.below
    if len(texts) > PAGES_MAX:
        texts, below = texts[:PAGES_MAX], (context(TOO_LONG), *below)
    room = MESSAGE_CHARS_MAX - len(escaped(texts[-1])) - (LINES_CHARS if len(texts) == 1 else 0)
    first, *more = _spread(below, room)
    shown = [(text, ()) for text in texts[:-1]] + [(texts[-1], first)]
    shown += [("", blocks) for blocks in more]
    return tuple(
        replace(
            screen,
            key=f"{screen.key}/{number}" if number > 1 else screen.key,
            text=text,
            tasks=screen.tasks if number == 1 else (),
            over=screen.over or number < len(shown),
            below=blocks,
            answers=False,
        )
        for number, (text, blocks) in enumerate(shown, start=1)
    )


def parted(text: str) -> tuple[str, ...]:
    """The text of each page."""
    found: list[str] = []
    while (cut := _cut(text)) is not None:
        found.append(text[:cut])
        text = text[cut:]
    return (*found, text) if text.strip() or not found else tuple(found)


def _cut(text: str) -> int | None:
    """Where a page ends; None while all of it fits."""
    begun = _fitting(text, PAGE_CHARS)
    if begun == len(text):
        return None
    lines, most = _fitting(text, LINE_CHARS_MAX), _fitting(text, PAGE_CHARS_MAX)
    line, space = text.find("\n", begun, lines), text.find(" ", lines, most)
    if line >= 0 or space >= 0:
        return 1 + (line if line >= 0 else space)
    return most if most < len(text) else None


def _fitting(text: str, chars_max: int) -> int:
    """How many characters are at most so many when they are escaped."""
    low, high = 0, min(len(text), chars_max)
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(escaped(text[:middle])) <= chars_max
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _spread(below: Sequence[Block], room: int) -> list[tuple[Block, ...]]:
    """The blocks under a screen: those under its last page, and those on further ones."""
    found: list[list[Block]] = [[]]
    for block in below:
        room -= weight([block])
        if room < 0 or len(found[-1]) == BELOW_MAX:
            found.append([])
            room = MESSAGE_CHARS_MAX - weight([block])
        found[-1].append(block)
    return [tuple(each) for each in found]
