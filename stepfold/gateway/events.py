"""The stream of a conversation: server-sent events, resumable on any gateway."""

from __future__ import annotations

from starlette.responses import Response

from stepfold.gateway.conversations import PATH, TAG, TALK
from stepfold.gateway.doors import About, Answer, Asked, Door, Parameter
from stepfold.gateway.following import ID, Mark, followed, read_mark
from stepfold.gateway.query import AFTER, CONVERSATION, check_query, choice, number
from stepfold.gateway.sending import StreamEvent
from stepfold.gateway.streaming import MEDIA, frames
from stepfold.gateway.web import gateway_of, stream

UNTIL = Parameter(
    "until",
    "query",
    {"type": "string", "enum": ["rest"]},
    "`rest`: the stream ends when it is the contact's move; else it goes on for ever.",
)
LAST = Parameter(
    "Last-Event-ID",
    "header",
    {"type": "string", "pattern": f"^({ID})?$"},
    "The id of the last event that was received, empty for none; it goes before `after`.",
)


async def hear(asked: Asked) -> Response:
    request, name = asked.request, asked.named("conversation")
    check_query(request, (AFTER, UNTIL))
    after, until = number(request, AFTER), choice(request, UNTIL)
    last = request.headers.get("last-event-id", "")
    mark = read_mark(last) if last else Mark(after)
    await asked.front.check(asked.who, name)
    items = followed(asked.front, asked.who, name, mark, until_rest=bool(until))
    return stream(asked, frames(items, gateway_of(request).closing))


DOORS = (
    Door(
        "GET",
        f"{PATH}/events",
        hear,
        About(
            "hearConversation",
            "Hear steps and words as they come.",
            "Server-sent events: `step`, `words` (the next characters of what the model says),"
            " `taken_back` (forget the words of a call), `rest` (it is the contact's move). Each"
            " has an id; whoever comes back with the last one goes on right behind it.",
            parameters=(CONVERSATION, AFTER, UNTIL, LAST),
            answers={200: Answer("The stream.", StreamEvent, MEDIA)},
            refusals=(404,),
            tag=TAG,
        ),
        scopes=TALK,
    ),
)
