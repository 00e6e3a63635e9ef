-- What each day cost, the first one first; a day without a paid call has no row.
SELECT
    recorded_at::DATE AS day, sum(cost_usd) AS cost_usd,
    coalesce(sum(unpriced), 0)::BIGINT AS unpriced,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens
FROM _log.readable
WHERE (cost_usd IS NOT NULL OR unpriced IS NOT NULL)
    AND recorded_at >= $since
    AND ($customer IS NULL OR customer = $customer)
GROUP BY ALL
ORDER BY day
