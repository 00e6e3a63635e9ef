-- The state of each conversation, as the view `conversations` tells it, from the few columns and
-- kinds that decide it: the view reads much more, and a list of fifty need not wait for that.
states AS (
    SELECT
        customer, conversation,
        CASE
            WHEN stopped THEN 'stopped'
            WHEN unreadable THEN 'unreadable'
            WHEN asked_turn > ended_turn OR generating THEN 'running'
            WHEN last_message > greatest(last_heard, if(abandoned_turn > asked_turn, abandoned, 0))
                THEN 'running'
            ELSE 'at rest'
        END AS state,
        last_kind = 'turn.abandoned' AS failed,
        since
    FROM (
        SELECT
            customer, conversation,
            coalesce(max(turn) FILTER (kind = 'reason.requested'), 0) AS asked_turn,
            coalesce(max(turn) FILTER (ends), 0) AS ended_turn,
            coalesce(max(position) FILTER (kind = 'message.received'), 0) AS last_message,
            coalesce(max(position) FILTER (kind = 'reason.requested' AND heard > 0), 0) AS last_heard,
            coalesce(max(turn) FILTER (kind = 'turn.abandoned'), 0) AS abandoned_turn,
            coalesce(max(position) FILTER (kind = 'turn.abandoned'), 0) AS abandoned,
            count(*) FILTER (kind = 'generation.requested' AND coalesce(attempt, 1) = 1)
                > count(*) FILTER (kind IN ('generation.finished', 'generation.abandoned'))
                AS generating,
            coalesce(bool_or(kind = 'conversation.stopped'), false) AS stopped,
            bool_or(kind IS NULL) AS unreadable,
            arg_max(kind, position) FILTER (ends) AS last_kind,
            max(recorded_at) FILTER (kind = 'message.received') AS since
        FROM (
            SELECT
                * REPLACE (if(error IS NULL, kind, NULL) AS kind),
                error IS NULL AND kind IN ('response.given', 'turn.abandoned', 'turn.cancelled') AS ends
            FROM _log.seen
            WHERE conversation <> ''
                AND ($customer IS NULL OR customer = $customer)
                AND ($names IS NULL OR conversation IN $names)
                AND (
                    error IS NOT NULL
                    OR kind IN (
                        'conversation.started', 'message.received', 'reason.requested', 'response.given',
                        'turn.abandoned', 'turn.cancelled', 'generation.requested',
                        'generation.finished', 'generation.abandoned', 'conversation.stopped'
                    )
                )
        )
        GROUP BY customer, conversation
    )
)
