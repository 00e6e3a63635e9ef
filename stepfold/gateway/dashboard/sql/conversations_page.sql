-- Which conversations are on a page, those with the latest step first. A condition that is not asked
-- for is not there.
{% if status == "waiting" %}WITH {% include "waiting.sql" %}
{% elif status not in (none, "unpriced", "rated bad") %}WITH {% include "states.sql" %}{% endif %}
SELECT customer, conversation, position
FROM _log.tails AS tails
WHERE conversation <> ''
    AND ($customer IS NULL OR customer = $customer)
    AND position < $before
{% if since %}
    AND position >= (SELECT min(position) FROM _log.readable WHERE recorded_at >= $since)
{% endif %}
{% if agent %}
    AND EXISTS (
        FROM _log.readable AS started
        WHERE started.kind = 'conversation.started' AND started.name = $agent
            AND started.customer = tails.customer AND started.conversation = tails.conversation
    )
{% endif %}
{% if digest %}
    AND EXISTS (
        FROM _log.readable AS pinned
        WHERE pinned.kind = 'conversation.started' AND pinned.position >= $searched
            AND contains(pinned.event, $digest)
            AND pinned.customer = tails.customer AND pinned.conversation = tails.conversation
    )
{% endif %}
{% if text %}
    AND (contains(lower(conversation), $text) OR EXISTS (
        FROM _log.readable AS said
        WHERE said.kind IN ('message.received', 'response.given', 'conversation.started')
            AND said.position >= $searched
            AND (
                contains(lower(said.event ->> '$.text'), $text)
                OR contains(lower(said.event ->> '$.contact'), $text)
            )
            AND said.customer = tails.customer AND said.conversation = tails.conversation
    ))
{% endif %}
{% if model %}
    AND EXISTS (
        FROM _log.readable AS paid
        WHERE paid.kind IN (
                'reason.finished', 'reason.failed', 'generation.finished', 'generation.failed'
            )
            AND (paid.model = $model OR paid.model = concat(paid.provider, '/', $model))
            AND paid.customer = tails.customer AND paid.conversation = tails.conversation
    )
{% endif %}
{% if task %}
    AND EXISTS (
        FROM _log.readable AS asked
        WHERE asked.kind IN ('reason.requested', 'generation.requested')
            AND coalesce(asked.name, 'converse') = $task
            AND asked.customer = tails.customer AND asked.conversation = tails.conversation
    )
{% endif %}
{% if status == "unpriced" %}
    AND EXISTS (
        FROM _log.readable AS paid
        WHERE paid.unpriced > 0
            AND paid.customer = tails.customer AND paid.conversation = tails.conversation
    )
{% elif status == "rated bad" %}
    AND EXISTS (
        FROM (
            SELECT customer, conversation, turn, arg_max(event ->> '$.rating', position) AS rating
            FROM _log.readable
            WHERE kind = 'feedback.given'
            GROUP BY ALL
        ) AS rated
        WHERE rated.rating = 'bad'
            AND rated.customer = tails.customer AND rated.conversation = tails.conversation
    )
{% elif status == "waiting" %}
    AND EXISTS (
        FROM waiting
        WHERE waiting.customer = tails.customer AND waiting.conversation = tails.conversation
    )
{% elif status %}
    AND EXISTS (
        FROM states
        WHERE {{ "failed" if status == "failed" else "state = $status" }}
            AND states.customer = tails.customer AND states.conversation = tails.conversation
    )
{% endif %}
ORDER BY position DESC
LIMIT $rows
