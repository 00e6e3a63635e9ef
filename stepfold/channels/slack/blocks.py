"""What is shown on Slack, within its limits. Pure.

Whatever a model or a contact said is escaped: `<!channel>` in an answer must call nobody. A text
that is too long is cut, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stepfold.channels.slack.happened import APPROVE, DENY, Mark
from stepfold.channels.slack.names import PERSON, is_user
from stepfold.events.event import ApprovalRequested
from stepfold.events.values import Citation

Block = dict[str, Any]
Chunk = dict[str, Any]
"""As JSON, for the SDK to send."""

SECTION_CHARS_MAX = 3_000
BLOCKS_MAX = 50
MARKDOWN_CHARS_MAX = 12_000
TASK_CHARS_MAX = 256
TEXT_CHARS_MAX = 4_000
"""Of the text that stands for the blocks, in notifications."""
CITATIONS_MAX = 20
LINK_CHARS_MAX = 1_000
"""A longer address is not linked: three thousand characters are all that a block takes."""
QUOTE_CHARS_MAX = 300
ARGUMENTS_CHARS_MAX = 2_000
CUT = " …"
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: str) -> str:
    return text.translate(_ESCAPED)


def cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - len(CUT)] + CUT


def escaped_cut(text: str, chars_max: int) -> str:
    """Escaped and cut: never in the middle of what stands for one character."""
    told = escaped(text)
    if len(told) <= chars_max:
        return told
    room = told[: chars_max - len(CUT)]
    begun = room.rfind("&")
    return (room[:begun] if begun >= 0 and ";" not in room[begun:] else room) + CUT


def pieces(text: str, chars_max: int) -> tuple[str, ...]:
    """`text`, escaped, in pieces of at most `chars_max`: whole lines where it can be."""
    told, found = escaped(text), []
    while len(told) > chars_max:
        room = told[:chars_max]
        begun = room.rfind("&")
        end = begun if begun > 0 and ";" not in room[begun:] else chars_max
        line = room.rfind("\n", chars_max // 2, end)
        end = line + 1 if line >= 0 else end
        found.append(told[:end])
        told = told[end:]
    return (*found, told) if told else tuple(found)


def section(text: str) -> Block:
    """`text` is escaped already, and short enough."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}


# -- answers ------------------------------------------------------------------------------------


def said(above: Sequence[Block], text: str, below: Sequence[Block]) -> list[Block]:
    """A whole message: what is said, short enough (pages.py), between other blocks."""
    told = escaped(text)
    return [*above, *([{"type": "markdown", "text": told}] if told.strip() else []), *below]


def weight(blocks: Sequence[Block]) -> int:
    """How many characters they say."""
    return sum(len(text) for block in blocks for text in _texts(block))


def _texts(block: Block) -> list[str]:
    inner = block.get("text", "")
    own = inner if isinstance(inner, str) else inner["text"]
    return [own, *(each["text"] for each in block.get("elements", ()) if each["type"] == "mrkdwn")]


def sources(citations: Sequence[Citation], titles: Mapping[str, str]) -> list[Block]:
    """The citations of an answer, numbered, with the words that it rests on."""
    blocks = [context("*Sources*")] if citations else []
    for number, citation in enumerate(citations[:CITATIONS_MAX], start=1):
        title = escaped_cut(titles.get(citation.document) or citation.document, TASK_CHARS_MAX)
        quote = escaped_cut(" ".join(citation.quote.split()), QUOTE_CHARS_MAX)
        where = _linked(citation.document, title)
        blocks.append(context(f"[{number}] {where}: “{quote}”"))
    if len(citations) > CITATIONS_MAX:
        blocks.append(context(f"… and {len(citations) - CITATIONS_MAX} more"))
    return blocks


def _linked(document: str, title: str) -> str:
    link = escaped(document).replace("|", "%7C")
    if not document.startswith(("https://", "http://")) or len(link) > LINK_CHARS_MAX:
        return f"*{title}*"
    return f"<{link}|{title.replace('|', '/')}>"


# -- tasks --------------------------------------------------------------------------------------

SIGNS = {"pending": "○", "in_progress": "◐", "complete": "✓", "error": "✗"}


def task_update(id: str, title: str, status: str, output: str) -> Chunk:
    chunk = {
        "type": "task_update",
        "id": id,
        "title": escaped_cut(title, TASK_CHARS_MAX),
        "status": status,
    }
    return {**chunk, "output": escaped_cut(output, TASK_CHARS_MAX)} if output else chunk


def task_line(title: str, status: str, output: str) -> str:
    """A task where there is no timeline."""
    told = f"{SIGNS[status]} {title}" + (f": {output}" if output else "")
    return escaped_cut(told, TASK_CHARS_MAX)


# -- approvals ----------------------------------------------------------------------------------


def asked(
    request: ApprovalRequested, conversation: str, contact: str, agreed: Sequence[str]
) -> list[Block]:
    """A call that waits, with its buttons. They carry the call and its digest."""
    who = f"<@{contact}>" if contact else "a contact"
    needed = "" if request.people == 1 else f" by {request.people} people"
    blocks = [
        section(f"*{escaped_cut(request.name, TASK_CHARS_MAX)}* for {who} needs approval{needed}."),
        section(f"```{_arguments(request)}```"),
        context(f"{escaped_cut(request.reason, 1_000)} · in {escaped(conversation)}"),
    ]
    if agreed:
        blocks.append(context(f"Approved so far by {people(agreed)}"))
    mark = msgspec.json.encode(Mark(conversation, request.call, request.digest)).decode()
    buttons = [_button("Approve", APPROVE, "primary", mark), _button("Deny", DENY, "danger", mark)]
    return [*blocks, {"type": "actions", "elements": buttons}]


def settled(request: ApprovalRequested, conversation: str, contact: str, how: str) -> list[Block]:
    """The same call when nothing waits for it any more; `how` that came is escaped already."""
    return [*asked(request, conversation, contact, ())[:-1], section(cut(how, SECTION_CHARS_MAX))]


def people(named: Sequence[str]) -> str:
    """People as an approval names them; a user of Slack so that Slack shows the name."""
    return " and ".join(map(_person, named))


def _person(named: str) -> str:
    user = named.removeprefix(PERSON)
    return f"<@{user}>" if user != named and is_user(user) else escaped_cut(named, TASK_CHARS_MAX)


def _button(text: str, action: str, style: str, value: str) -> Block:
    return {
        "type": "button",
        "action_id": action,
        "style": style,
        "text": {"type": "plain_text", "text": text},
        "value": value,
    }


def _arguments(request: ApprovalRequested) -> str:
    written = msgspec.json.format(msgspec.json.encode(request.arguments), indent=2).decode()
    return escaped_cut(written.replace("```", "'''"), ARGUMENTS_CHARS_MAX)
