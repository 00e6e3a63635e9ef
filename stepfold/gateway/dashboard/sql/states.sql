-- The state of each conversation, as the view `conversations` tells it, from the few columns and
-- kinds that decide it: the view reads much more, and a list of fifty need not wait for that. What
-- each row says is worked out before it is grouped, which is quicker than a filter at each sum.
states AS (
    SELECT
        customer, conversation,
        CASE
            WHEN stopped THEN 'stopped'
            WHEN unreadable THEN 'unreadable'
            WHEN asked_turn > ended_turn OR opened > 0 THEN 'running'
            WHEN last_message > greatest(last_heard, if(abandoned_turn > asked_turn, abandoned, 0))
                THEN 'running'
            ELSE 'at rest'
        END AS state,
        abandoned > other_end AS failed,
        since
    FROM (
        SELECT
            customer, conversation,
            max(asked_turn) AS asked_turn, max(ended_turn) AS ended_turn,
            max(message) AS last_message, max(heard_at) AS last_heard,
            max(abandoned_turn) AS abandoned_turn, max(abandoned) AS abandoned,
            max(other_end) AS other_end, sum(opened) AS opened,
            max(stops) AS stopped, max(broken) AS unreadable, max(said_at) AS since
        FROM (
            SELECT
                customer, conversation,
                if(kind = 'reason.requested', coalesce(turn, 0), 0) AS asked_turn,
                if(
                    kind IN ('response.given', 'turn.abandoned', 'turn.cancelled'),
                    coalesce(turn, 0), 0
                ) AS ended_turn,
                if(kind = 'message.received', position, 0) AS message,
                if(kind = 'reason.requested' AND heard > 0, position, 0) AS heard_at,
                if(kind = 'turn.abandoned', coalesce(turn, 0), 0) AS abandoned_turn,
                if(kind = 'turn.abandoned', position, 0) AS abandoned,
                if(kind IN ('response.given', 'turn.cancelled'), position, 0) AS other_end,
                CASE
                    WHEN kind = 'generation.requested' THEN if(coalesce(attempt, 1) = 1, 1, 0)
                    WHEN kind IN ('generation.finished', 'generation.abandoned') THEN -1
                    ELSE 0
                END AS opened,
                kind = 'conversation.stopped' AS stops,
                kind = '' AS broken,
                if(kind = 'message.received', recorded_at, NULL) AS said_at
            FROM (
                SELECT * REPLACE (if(error IS NULL, kind, '') AS kind)
                FROM _log.seen
                WHERE conversation <> ''
                    AND ($customer IS NULL OR customer = $customer)
                    AND ($names IS NULL OR conversation IN $names)
                    AND (
                        error IS NOT NULL
                        OR kind IN (
                            {% if counted is not defined %}'conversation.started', {% endif %}
                            'message.received', 'reason.requested', 'response.given',
                            'turn.abandoned', 'turn.cancelled', 'generation.requested',
                            'generation.finished', 'generation.abandoned', 'conversation.stopped'
                        )
                    )
            )
        )
        GROUP BY customer, conversation
    )
)
