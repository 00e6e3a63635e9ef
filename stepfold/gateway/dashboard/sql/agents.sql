-- The versions of agents that conversations begun in the latest steps are pinned to.
SELECT
    name AS agent, event ->> '$.digest' AS digest, count(*) AS conversations,
    min(recorded_at) AS first_at, max(recorded_at) AS last_at
FROM _log.readable
WHERE kind = 'conversation.started' AND position >= $searched
    AND ($customer IS NULL OR customer = $customer)
GROUP BY ALL
ORDER BY last_at DESC
LIMIT $rows
