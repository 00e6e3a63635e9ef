-- The calls that people are asked about now, the one that expires first in front; each with whose
-- conversation it is and what was said last before it.
WITH {% include "waiting.sql" %},
shown AS (
    SELECT *
    FROM waiting
    WHERE $tool IS NULL OR name = $tool
    ORDER BY expires_at, position
    LIMIT $rows
),
heard AS (
    SELECT
        shown.position, max(said.position) FILTER (said.kind = 'message.received') AS said,
        min(said.position) FILTER (said.kind = 'conversation.started') AS begun
    FROM shown
    JOIN _log.readable AS said
        ON said.customer = shown.customer AND said.conversation = shown.conversation
        AND said.kind IN ('conversation.started', 'message.received')
        AND said.position < shown.position
    GROUP BY shown.position
)
SELECT
    shown.position, requested_at, shown.customer, shown.conversation, shown.turn, shown.call,
    shown.name, shown.arguments, shown.reason, digest, people, granted_by, expires_at,
    coalesce(nullif(last.event ->> '$.contact', ''), first.event ->> '$.contact') AS contact,
    left(last.event ->> '$.text', 300) AS words
FROM shown
LEFT JOIN heard USING (position)
LEFT JOIN _log.readable AS last ON last.position = heard.said
LEFT JOIN _log.readable AS first ON first.position = heard.begun
ORDER BY expires_at, shown.position
