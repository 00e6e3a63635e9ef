-- As `cost_by_model` has it. Summed under the names in the log first, so that a name is looked into
-- once and not once a call; a search's embeddings and reranks are in a list.
WITH raw AS (
    SELECT
        model, provider, kind, reason, count(*) AS calls, sum(input_tokens) AS input_tokens,
        sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd,
        count(*) FILTER (unpriced IS NOT NULL) AS unpriced
    FROM _log.readable
    WHERE kind IN ('reason.finished', 'reason.failed', 'generation.finished', 'generation.failed')
        AND recorded_at >= $since
        AND ($customer IS NULL OR customer = $customer)
    GROUP BY ALL
),
named AS (
    SELECT
        * REPLACE (
            if(
                kind IN ('reason.failed', 'generation.failed') AND coalesce(provider, '') = ''
                    AND contains(model, '/'),
                split_part(model, '/', 1), provider
            ) AS provider
        ),
        kind IN ('reason.failed', 'generation.failed') AS failed,
        kind IN ('reason.failed', 'generation.failed') AND coalesce(reason, '') IN (
            'budget', 'model_unknown', 'circuit_open', 'at_capacity', 'file_missing', 'schema', 'over'
        ) AS unsent
    FROM raw
),
paid AS (
    SELECT
        coalesce(provider, '') AS provider,
        if(
            provider <> '' AND starts_with(model, concat(provider, '/')),
            model[len(provider) + 2:], model
        ) AS model,
        if(unsent, 0, calls) AS calls, if(failed AND NOT unsent, calls, 0) AS failed,
        input_tokens, output_tokens, cost_usd, unpriced
    FROM named
    UNION ALL
    SELECT
        coalesce(provider, '') AS provider, model, count(*) AS calls,
        count(*) FILTER (outcome = 'failed') AS failed, sum(input_tokens), sum(output_tokens),
        sum(cost_usd), count(*) FILTER (unpriced)
    FROM _log.paid
    WHERE what IN ('embed', 'rerank')
        AND recorded_at >= $since
        AND ($customer IS NULL OR customer = $customer)
    GROUP BY ALL
)
SELECT
    provider, model, sum(calls)::BIGINT AS calls, sum(failed)::BIGINT AS failed,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, sum(unpriced)::BIGINT AS unpriced
FROM paid
GROUP BY ALL
ORDER BY cost_usd DESC NULLS LAST, unpriced DESC, model
LIMIT $rows
