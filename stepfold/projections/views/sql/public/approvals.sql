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
    WHERE kind = 'approval.expired'
        OR (kind IN ('approval.granted', 'approval.denied') AND event ->> '$.person' <> '')
),
ends AS (
    SELECT customer, conversation, turn, min(position) AS ended
    FROM _log.readable
    WHERE kind IN ('response.given', 'turn.abandoned', 'turn.cancelled') AND turn IS NOT NULL
    GROUP BY ALL
),
stops AS (
    SELECT customer, conversation, min(position) AS stopped
    FROM _log.readable
    WHERE kind = 'conversation.stopped'
    GROUP BY ALL
),
-- What counts comes before the first no, before it was too late, and before the turn ended.
limits AS (
    SELECT
        a.*,
        least(e.ended, s.stopped) AS ended,
        arg_min(b.kind, b.position) FILTER (b.kind <> 'approval.granted') AS no_kind,
        min(b.position) FILTER (b.kind <> 'approval.granted') AS no_position,
        arg_min(b.person, b.position) FILTER (b.kind = 'approval.denied') AS no_person
    FROM asked a
    LEFT JOIN answers b
        ON b.customer = a.customer AND b.conversation = a.conversation
        AND b.turn = a.turn AND b.call = a.call AND b.position > a.position
        AND (b.kind = 'approval.expired' OR b.digest = a.digest)
    LEFT JOIN ends e
        ON e.customer = a.customer AND e.conversation = a.conversation AND e.turn = a.turn
    LEFT JOIN stops s ON s.customer = a.customer AND s.conversation = a.conversation
    GROUP BY ALL
),
-- Of those who agreed the first count, as many as must.
agreed AS (
    SELECT
        l.position, arg_min(g.person, g.position) AS person, min(g.recorded_at) AS agreed_at,
        row_number() OVER (PARTITION BY l.position ORDER BY min(g.position)) AS place
    FROM limits l
    JOIN answers g
        ON g.customer = l.customer AND g.conversation = l.conversation
        AND g.turn = l.turn AND g.call = l.call
        AND g.kind = 'approval.granted' AND g.digest = l.digest
        AND g.position > l.position
        AND g.position < coalesce(l.no_position, g.position + 1)
        AND g.position < coalesce(l.ended, g.position + 1)
    GROUP BY l.position, lower(trim(regexp_replace(g.person, '\s+', ' ', 'g')))
),
grouped AS (
    SELECT
        l.*,
        list(p.person) FILTER (p.person IS NOT NULL) AS granted,
        max(p.agreed_at) AS granted_at
    FROM limits l
    LEFT JOIN agreed p ON p.position = l.position AND p.place <= l.people
    GROUP BY ALL
),
told AS (
    SELECT *, len(coalesce(granted, [])) >= people AS complete,
        coalesce(no_position < coalesce(ended, no_position + 1), false) AS refused
    FROM grouped
)
SELECT
    position, recorded_at AS requested_at, customer, conversation, turn, call, name, arguments,
    reason, digest, people, coalesce(list_sort(granted), []) AS granted_by,
    CASE WHEN refused AND NOT complete AND no_kind = 'approval.denied' THEN no_person END AS denied_by,
    expires_at,
    CASE
        WHEN complete THEN 'granted'
        WHEN refused AND no_kind = 'approval.denied' THEN 'denied'
        WHEN refused THEN 'expired'
        WHEN ended IS NOT NULL THEN 'void'
        ELSE 'waiting'
    END AS status,
    granted_at
FROM told;

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
COMMENT ON COLUMN approvals.granted_at IS 'when somebody last agreed, UTC';
