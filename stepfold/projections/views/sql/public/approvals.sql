-- The same person counts once, and only for the digest that was asked about, as in the fold.
CREATE OR REPLACE VIEW approvals AS
WITH asked AS (
    SELECT
        position, recorded_at, customer, conversation, turn, call, name, reason,
        event -> '$.arguments' AS arguments,
        event ->> '$.digest' AS digest,
        coalesce((event ->> '$.people')::BIGINT, 1) AS people,
        recorded_at + to_microseconds(((event ->> '$.expires_s')::DOUBLE * 1e6)::BIGINT) AS expires_at
    FROM _log.readable
    WHERE kind = 'approval.requested'
),
answers AS (
    SELECT
        customer, conversation, turn, call, kind, position, recorded_at, reason,
        event ->> '$.digest' AS digest, event ->> '$.person' AS person
    FROM _log.readable
    WHERE kind IN ('approval.granted', 'approval.denied', 'approval.expired')
),
ends AS (
    SELECT customer, conversation, turn, min(position) AS ended
    FROM _log.readable
    WHERE kind IN ('response.given', 'turn.abandoned', 'turn.cancelled') AND turn IS NOT NULL
    GROUP BY ALL
),
grouped AS (
    SELECT
        a.*,
        list_distinct(list(b.person ORDER BY b.position) FILTER (
            b.kind = 'approval.granted' AND b.digest = a.digest
        )) AS granted,
        arg_min(b.person, b.position) FILTER (
            b.kind = 'approval.denied' AND b.digest = a.digest
        ) AS denied_by,
        count(*) FILTER (b.kind = 'approval.expired') AS expired,
        max(b.recorded_at) AS answered_at,
        any_value(e.ended) AS ended
    FROM asked a
    LEFT JOIN answers b USING (customer, conversation, turn, call)
    LEFT JOIN ends e USING (customer, conversation, turn)
    GROUP BY ALL
)
SELECT
    position, recorded_at AS requested_at, customer, conversation, turn, call, name, arguments,
    reason, digest, people, coalesce(list_sort(granted), []) AS granted_by, denied_by, expires_at,
    CASE
        WHEN len(coalesce(granted, [])) >= people THEN 'granted'
        WHEN denied_by IS NOT NULL THEN 'denied'
        WHEN expired > 0 THEN 'expired'
        WHEN ended IS NOT NULL THEN 'void'
        ELSE 'waiting'
    END AS status,
    answered_at
FROM grouped;

COMMENT ON VIEW approvals IS 'Every call that people were asked about.';
COMMENT ON COLUMN approvals.position IS 'the place of the question in the log';
COMMENT ON COLUMN approvals.requested_at IS 'when they were asked, UTC';
COMMENT ON COLUMN approvals.customer IS 'the company that pays';
COMMENT ON COLUMN approvals.conversation IS 'its name';
COMMENT ON COLUMN approvals.turn IS 'the turn';
COMMENT ON COLUMN approvals.call IS 'unique in the conversation';
COMMENT ON COLUMN approvals.name IS 'the tool';
COMMENT ON COLUMN approvals.arguments IS 'exactly what would run, JSON';
COMMENT ON COLUMN approvals.reason IS 'why people are asked';
COMMENT ON COLUMN approvals.digest IS 'what an approval is bound to';
COMMENT ON COLUMN approvals.people IS 'how many different people must agree';
COMMENT ON COLUMN approvals.granted_by IS 'who agreed';
COMMENT ON COLUMN approvals.denied_by IS 'who said no';
COMMENT ON COLUMN approvals.expires_at IS 'until when they may agree, UTC';
COMMENT ON COLUMN approvals.status IS '`waiting`, `granted`, `denied`, `expired`, or `void`: its turn ended before';
COMMENT ON COLUMN approvals.answered_at IS 'when somebody, or the timer, last answered, UTC';
