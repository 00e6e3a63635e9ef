-- Every paid thing once, from what its own step tells: no join, so that sums over all of it are
-- quick. A search tells what it spent in a list; the costs of a step in `_log.steps` are their sum.
CREATE OR REPLACE VIEW _log.paid AS
SELECT
    position, 1 AS item, recorded_at, customer, conversation, turn, call,
    if(kind IN ('reason.finished', 'reason.failed'), 'reason', 'generate') AS what,
    -- A model that failed is named as it was asked, with its provider before it.
    if(
        provider <> '' AND starts_with(model, concat(provider, '/')),
        model[len(provider) + 2:], model
    ) AS model,
    nullif(provider, '') AS provider, coalesce(attempt, 1) AS attempt,
    CASE
        WHEN kind IN ('reason.finished', 'generation.finished') THEN 'finished'
        -- Turned away in our own process: no money, no such model here, a provider that is left
        -- alone or full, a file or a schema that is none, a turn that was over already.
        WHEN reason IN (
            'budget', 'model_unknown', 'circuit_open', 'at_capacity', 'file_missing', 'schema', 'over'
        ) THEN 'unsent'
        ELSE 'failed'
    END AS outcome, reason,
    input_tokens, output_tokens, cached_tokens, thinking_tokens,
    event -> '$.usage' AS usage, cost_usd, unpriced IS NOT NULL AS unpriced,
    coalesce(elapsed_ms, 0) AS elapsed_ms, event ->> '$.tier' AS tier,
    event ->> '$.price.book' AS price_book, event -> '$.price.rates' AS rates, event
FROM (
    -- A worker that fails names no provider; the model is named as it was asked.
    SELECT * REPLACE (
        if(
            kind IN ('reason.failed', 'generation.failed') AND coalesce(provider, '') = ''
                AND contains(model, '/'),
            split_part(model, '/', 1), provider
        ) AS provider
    )
    FROM _log.readable
    WHERE kind IN ('reason.finished', 'reason.failed', 'generation.finished', 'generation.failed')
)
UNION ALL
SELECT
    position, item, recorded_at, customer, conversation, turn, call,
    spend.what, spend.model, nullif(spend.provider, '') AS provider, 1 AS attempt,
    if(kind = 'retrieval.returned', 'finished', 'failed') AS outcome, reason,
    spend.usage.input AS input_tokens, spend.usage.output AS output_tokens,
    spend.usage.cached AS cached_tokens, spend.usage.thinking AS thinking_tokens,
    told -> '$.usage' AS usage, spend.cost_usd::DECIMAL(38, 18) AS cost_usd,
    spend.cost_usd IS NULL AS unpriced,
    coalesce(spend.elapsed_ms, 0) AS elapsed_ms, NULL AS tier,
    told ->> '$.price.book' AS price_book, told -> '$.price.rates' AS rates, NULL AS event
FROM (
    SELECT
        * EXCLUDE (spent, model, provider, input_tokens, output_tokens, cost_usd, elapsed_ms),
        unnest(json_transform(spent, '["JSON"]')) AS told,
        unnest(range(1, json_array_length(spent)::BIGINT + 1)) AS item,
        unnest(json_transform(spent, '[{
            "what": "VARCHAR", "model": "VARCHAR", "provider": "VARCHAR", "cost_usd": "VARCHAR",
            "usage": {
                "input": "BIGINT", "output": "BIGINT", "cached": "BIGINT", "thinking": "BIGINT"
            },
            "elapsed_ms": "DOUBLE"
        }]')) AS spend
    FROM _log.readable
    WHERE spent IS NOT NULL
);

-- What the step that asked says of a call. A loop's task is told only when it is another one.
CREATE OR REPLACE VIEW _log.asked AS
SELECT
    customer, conversation, call,
    any_value(coalesce(name, 'converse')) AS task,
    any_value(route) AS route,
    any_value(coalesce(shadow, false)) AS shadow
FROM _log.readable
WHERE kind IN ('reason.requested', 'generation.requested')
GROUP BY ALL;

CREATE OR REPLACE VIEW spend AS
SELECT
    paid.position, paid.item, paid.recorded_at, customer, conversation, paid.turn, call, paid.what,
    coalesce(asked.task, if(paid.what IN ('reason', 'generate'), NULL, paid.what)) AS task,
    asked.route, agents.agent, paid.provider, paid.model, paid.attempt,
    coalesce(asked.shadow, false) AS shadow, paid.outcome,
    paid.input_tokens, paid.output_tokens, paid.cached_tokens,
    (paid.usage ->> '$.cache_write')::BIGINT AS cache_write_tokens, paid.thinking_tokens,
    paid.usage -> '$.billed' AS billed, paid.usage, paid.tier,
    paid.cost_usd, paid.unpriced, paid.price_book, paid.rates, paid.elapsed_ms
FROM _log.paid AS paid
LEFT JOIN _log.asked AS asked USING (customer, conversation, call)
LEFT JOIN (
    SELECT customer, conversation, arg_min(name, position) AS agent
    FROM _log.readable
    WHERE kind = 'conversation.started'
    GROUP BY ALL
) AS agents USING (customer, conversation);

COMMENT ON VIEW spend IS 'Every paid thing: each attempt of a model call, shadows and failures included, each embedding and each rerank. Attempts that were turned away before they went out are here as `unsent`.';
COMMENT ON COLUMN spend.position IS 'the place of the step that tells of it; with `item` it names the row';
COMMENT ON COLUMN spend.item IS 'which of several paid things of one step, from 1';
COMMENT ON COLUMN spend.recorded_at IS 'when that step was recorded, UTC';
COMMENT ON COLUMN spend.customer IS 'the company that pays';
COMMENT ON COLUMN spend.conversation IS 'its name';
COMMENT ON COLUMN spend.turn IS 'the turn; null for a generation';
COMMENT ON COLUMN spend.call IS 'the call of the model, or of the search that embedded and reranked';
COMMENT ON COLUMN spend.what IS '`reason` (an ask of the loop), `generate`, `embed` or `rerank`';
COMMENT ON COLUMN spend.task IS 'what for: `converse` and other tasks of routes, `embed`, `rerank`';
COMMENT ON COLUMN spend.route IS 'the route that chose the model; null where an agent or a request names it';
COMMENT ON COLUMN spend.agent IS 'the agent of the conversation; null where there is none';
COMMENT ON COLUMN spend.provider IS 'who served it, if told; if it failed, who was asked';
COMMENT ON COLUMN spend.model IS 'the model as answered; if it failed, as asked';
COMMENT ON COLUMN spend.attempt IS 'from 1; the next one follows a failure';
COMMENT ON COLUMN spend.shadow IS 'asked to compare: nobody waited for it';
COMMENT ON COLUMN spend.outcome IS '`finished`, `failed`, or `unsent`: it never left this process (a budget, a gate, a model that is unknown here), and is no call';
COMMENT ON COLUMN spend.input_tokens IS 'inclusive of cached ones; null if not told';
COMMENT ON COLUMN spend.output_tokens IS 'inclusive of thinking; null if not told';
COMMENT ON COLUMN spend.cached_tokens IS 'the part of the input read from a cache';
COMMENT ON COLUMN spend.cache_write_tokens IS 'the part of the input written to a cache';
COMMENT ON COLUMN spend.thinking_tokens IS 'the part of the output spent thinking';
COMMENT ON COLUMN spend.billed IS 'units that are paid for beside tokens or in place of them, as JSON: searches, hosted tools';
COMMENT ON COLUMN spend.usage IS 'usage as JSON, with the provider''s own under `raw`';
COMMENT ON COLUMN spend.tier IS 'the service tier as answered; null if not told';
COMMENT ON COLUMN spend.cost_usd IS 'exact; null when the price is not known';
COMMENT ON COLUMN spend.unpriced IS 'it was used, or a provider may have charged for it, and the price is not known';
COMMENT ON COLUMN spend.price_book IS 'the version of the price book; null where a model brings its own price';
COMMENT ON COLUMN spend.rates IS 'the rates that were used, as JSON: US dollars per million tokens, or per one of a unit';
COMMENT ON COLUMN spend.elapsed_ms IS 'how long it took';
