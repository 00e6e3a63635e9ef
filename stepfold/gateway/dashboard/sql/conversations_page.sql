-- Which conversations are on a page, those with the latest step first. A condition that is not asked
-- for is not there.
{% if status and status != "waiting" %}WITH {% include "states.sql" %}{% endif %}
SELECT customer, conversation, position
FROM _log.tails AS tails
WHERE conversation <> ''
    AND ($customer IS NULL OR customer = $customer)
    AND position < $before
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
            AND said.position >= $searched AND contains(lower(said.event), $text)
            AND said.customer = tails.customer AND said.conversation = tails.conversation
    ))
{% endif %}
{% if status == "waiting" %}
    AND EXISTS (
        FROM approvals
        WHERE approvals.status = 'waiting' AND approvals.expires_at > $now
            AND approvals.customer = tails.customer
            AND approvals.conversation = tails.conversation
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
