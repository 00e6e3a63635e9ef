-- By task and by the route that chose the model. A search's embeddings and reranks are tasks of
-- their own. A call is asked for less than a day before it is paid for.
SELECT
    task, coalesce(route, '') AS route, sum(calls)::BIGINT AS calls, sum(cost_usd) AS cost_usd,
    coalesce(sum(unpriced), 0)::BIGINT AS unpriced
FROM (
    SELECT
        coalesce(asked.name, 'converse') AS task, asked.route, count(*) AS calls,
        sum(paid.cost_usd) AS cost_usd, sum(paid.unpriced) AS unpriced
    FROM (
        SELECT customer, conversation, call, cost_usd, unpriced
        FROM _log.readable
        WHERE kind IN (
                'reason.finished', 'reason.failed', 'generation.finished', 'generation.failed'
            )
            AND (cost_usd IS NOT NULL OR unpriced IS NOT NULL)
            AND recorded_at >= $since
            AND ($customer IS NULL OR customer = $customer)
    ) AS paid
    LEFT JOIN (
        SELECT customer, conversation, call, name, route
        FROM _log.readable
        WHERE kind IN ('reason.requested', 'generation.requested')
            AND (name IS NOT NULL OR route IS NOT NULL)
            AND recorded_at >= $since - INTERVAL 1 DAY
            AND ($customer IS NULL OR customer = $customer)
    ) AS asked USING (customer, conversation, call)
    GROUP BY ALL
    UNION ALL
    SELECT what AS task, NULL AS route, count(*) AS calls, sum(cost_usd), count(*) FILTER (unpriced)
    FROM _log.paid
    WHERE what IN ('embed', 'rerank')
        AND recorded_at >= $since
        AND ($customer IS NULL OR customer = $customer)
    GROUP BY ALL
)
GROUP BY ALL
ORDER BY cost_usd DESC NULLS LAST, unpriced DESC, task, route
LIMIT $rows
