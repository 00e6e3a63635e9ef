SELECT
    customer, count(*) AS calls, sum(cost_usd) AS cost_usd,
    coalesce(sum(unpriced), 0)::BIGINT AS unpriced
FROM _log.readable
WHERE (cost_usd IS NOT NULL OR unpriced IS NOT NULL)
    AND recorded_at >= $since
    AND ($customer IS NULL OR customer = $customer)
GROUP BY ALL
ORDER BY cost_usd DESC NULLS LAST, unpriced DESC, customer
LIMIT $rows
