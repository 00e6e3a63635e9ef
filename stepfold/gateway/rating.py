"""What a contact thinks of an answer."""

from __future__ import annotations

import hashlib

from starlette.responses import Response

from stepfold.events.event import FeedbackGiven, ResponseGiven
from stepfold.gateway.bodies import Rate
from stepfold.gateway.conversations import PATH
from stepfold.gateway.doors import About, Answer, Asked, Door
from stepfold.gateway.principal import CHAT, VISITOR
from stepfold.gateway.problems import body_of
from stepfold.gateway.query import CONVERSATION, IDEMPOTENCY, check_query, id_of
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.shapes import Recorded, answer


async def rate(asked: Asked) -> Response:
    check_query(asked.request, ())
    id, body = id_of(asked.request), await body_of(asked.request, Rate)
    name = asked.named("conversation")
    entries = await asked.front.read(asked.who, name)
    if not any(isinstance(e.event, ResponseGiven) and e.event.turn == body.turn for e in entries):
        why = f"turn {body.turn} of conversation {name!r} has no answer: rate one that was given"
        raise FrontRefused(409, "Nothing to rate", why)
    contact = asked.who.contact
    event = FeedbackGiven(body.turn, body.rating, body.comment, contact)
    told = "\n".join((asked.who.key, contact, str(body.turn), id))
    key = hashlib.sha256(told.encode()).hexdigest()
    entry = await asked.front.append(asked.who, name, event, key=key)
    events = f"/v1/conversations/{name}/events?after={entry.position}"
    return answer(Recorded(name, entry.position, entry.at, events), 201)


DOORS = (
    Door(
        "POST",
        f"{PATH}/feedback",
        rate,
        About(
            "rateAnswer",
            "Say how good an answer was.",
            "The latest word of a contact on a turn is the one that counts.",
            body=Rate,
            example={"turn": 1, "rating": "good", "comment": "That was it."},
            parameters=(CONVERSATION, IDEMPOTENCY),
            answers={201: Answer("It is in the log.", Recorded)},
            refusals=(404, 409),
            tag="conversations",
        ),
        scopes=(CHAT, VISITOR),
    ),
)
