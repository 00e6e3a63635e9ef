-- The calls that wait for people, as the view `approvals` tells them: only what can still be decided is
-- looked into, and of it only the few steps that say something about it.
fresh AS (
    SELECT *
    FROM (
        SELECT
            position, recorded_at AS requested_at, customer, conversation, turn, call, name, reason,
            event -> '$.arguments' AS arguments,
            event ->> '$.digest' AS digest,
            coalesce((event ->> '$.people')::BIGINT, 1) AS people,
            recorded_at + to_microseconds(((event ->> '$.expires_s')::DOUBLE * 1e6)::BIGINT)
                AS expires_at
        FROM _log.readable
        WHERE kind = 'approval.requested' AND ($customer IS NULL OR customer = $customer)
    )
    WHERE expires_at > $now
),
answered AS (
    SELECT
        customer, conversation, turn, call, kind, position, event ->> '$.digest' AS digest,
        event ->> '$.person' AS person
    FROM _log.readable
    WHERE (
            kind = 'approval.expired'
            OR (kind IN ('approval.granted', 'approval.denied') AND event ->> '$.person' <> '')
        )
        AND ($customer IS NULL OR customer = $customer)
),
agreed AS (
    SELECT position, list_sort(list(person)) AS granted_by
    FROM (
        SELECT fresh.position, arg_min(answered.person, answered.position) AS person
        FROM fresh
        JOIN answered
            ON answered.customer = fresh.customer AND answered.conversation = fresh.conversation
            AND answered.turn = fresh.turn AND answered.call = fresh.call
            AND answered.position > fresh.position AND answered.digest = fresh.digest
            AND answered.kind = 'approval.granted'
        GROUP BY fresh.position, lower(trim(regexp_replace(answered.person, '\s+', ' ', 'g')))
    )
    GROUP BY position
),
waiting AS (
    SELECT fresh.*, coalesce(agreed.granted_by, []) AS granted_by
    FROM fresh
    LEFT JOIN agreed USING (position)
    WHERE len(coalesce(agreed.granted_by, [])) < people
        AND NOT EXISTS (
            FROM answered
            WHERE answered.kind <> 'approval.granted'
                AND (answered.kind = 'approval.expired' OR answered.digest = fresh.digest)
                AND answered.position > fresh.position
                AND answered.customer = fresh.customer
                AND answered.conversation = fresh.conversation
                AND answered.turn = fresh.turn AND answered.call = fresh.call
        )
        AND NOT EXISTS (
            FROM _log.readable AS ended
            WHERE ended.kind IN ('response.given', 'turn.abandoned', 'turn.cancelled')
                AND ended.customer = fresh.customer
                AND ended.conversation = fresh.conversation AND ended.turn = fresh.turn
        )
        AND NOT EXISTS (
            FROM _log.readable AS stopped
            WHERE stopped.kind = 'conversation.stopped'
                AND stopped.customer = fresh.customer
                AND stopped.conversation = fresh.conversation
        )
)
