-- How quickly each model answers and how often it fails. Who fails is named as it was asked, with the
-- provider before it.
SELECT
    coalesce(provider, '') AS provider, model, count(*) AS calls,
    count(*) FILTER (kind = 'reason.failed') AS failed,
    count(*) FILTER (kind = 'reason.failed') / count(*) AS failed_share,
    quantile_cont(elapsed_ms, 0.5) FILTER (kind = 'reason.finished') AS p50_ms,
    quantile_cont(elapsed_ms, 0.95) FILTER (kind = 'reason.finished') AS p95_ms,
    max(elapsed_ms) FILTER (kind = 'reason.finished') AS max_ms,
    sum(output_tokens) / nullif(sum(elapsed_ms) FILTER (output_tokens > 0), 0) * 1000 AS tokens_per_s
FROM (
    SELECT
        kind, elapsed_ms, output_tokens, provider,
        if(
            kind = 'reason.failed' AND provider <> '' AND starts_with(model, concat(provider, '/')),
            model[len(provider) + 2:], model
        ) AS model
    FROM _log.readable
    WHERE kind IN ('reason.finished', 'reason.failed')
        AND recorded_at >= $since
        AND ($customer IS NULL OR customer = $customer)
)
GROUP BY ALL
ORDER BY calls DESC, model
LIMIT $rows
