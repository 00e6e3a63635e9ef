-- What a length of time cost. One row.
SELECT sum(cost_usd) AS cost_usd, coalesce(sum(unpriced), 0)::BIGINT AS unpriced
FROM _log.readable
WHERE (cost_usd IS NOT NULL OR unpriced IS NOT NULL)
    AND recorded_at >= $since AND recorded_at < $until
    AND ($customer IS NULL OR customer = $customer)
