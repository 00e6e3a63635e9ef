-- Summed by conversation first, so that the join has one row for each.
SELECT
    coalesce(started.name, '') AS agent, count(*) AS conversations, sum(calls)::BIGINT AS calls,
    sum(spent.cost_usd) AS cost_usd, sum(spent.unpriced)::BIGINT AS unpriced
FROM (
    SELECT
        customer, conversation, count(*) AS calls, sum(cost_usd) AS cost_usd,
        coalesce(sum(unpriced), 0) AS unpriced
    FROM _log.readable
    WHERE (cost_usd IS NOT NULL OR unpriced IS NOT NULL)
        AND recorded_at >= $since
        AND ($customer IS NULL OR customer = $customer)
    GROUP BY ALL
) AS spent
LEFT JOIN (
    SELECT customer, conversation, name
    FROM _log.readable
    WHERE kind = 'conversation.started' AND ($customer IS NULL OR customer = $customer)
) AS started USING (customer, conversation)
GROUP BY ALL
ORDER BY cost_usd DESC NULLS LAST, unpriced DESC, agent
LIMIT $rows
