CREATE OR REPLACE VIEW model_calls AS
WITH running AS (
    SELECT *
    FROM _log.readable AS request
    WHERE kind IN ('reason.requested', 'generation.requested') AND NOT EXISTS (
        FROM _log.paid AS outcome
        WHERE outcome.customer = request.customer
            AND outcome.conversation = request.conversation
            AND outcome.call = request.call
    )
)
SELECT
    paid.position, paid.recorded_at, customer, conversation, paid.turn, call, asked.task,
    asked.route, paid.model, paid.provider, paid.attempt, coalesce(asked.shadow, false) AS shadow,
    paid.outcome, paid.reason,
    if(
        paid.what = 'reason' AND paid.outcome = 'finished',
        coalesce(paid.event ->> '$.finish', 'stop'), NULL
    ) AS finish,
    paid.input_tokens, paid.output_tokens, paid.cached_tokens,
    paid.cached_tokens / nullif(paid.input_tokens, 0) AS cached_share, paid.thinking_tokens,
    paid.usage, paid.cost_usd, paid.unpriced,
    (paid.event ->> '$.first_ms')::DOUBLE AS first_ms, paid.elapsed_ms
FROM _log.paid AS paid
LEFT JOIN _log.asked AS asked USING (customer, conversation, call)
WHERE paid.what IN ('reason', 'generate')
UNION ALL
SELECT
    position, recorded_at, customer, conversation, turn, call, coalesce(name, 'converse') AS task,
    route, model, NULL AS provider, coalesce(attempt, 1) AS attempt,
    coalesce(shadow, false) AS shadow, 'running' AS outcome, NULL AS reason, NULL AS finish,
    NULL AS input_tokens, NULL AS output_tokens, NULL AS cached_tokens, NULL AS cached_share,
    NULL AS thinking_tokens, NULL AS usage, NULL AS cost_usd, false AS unpriced,
    NULL AS first_ms, NULL AS elapsed_ms
FROM running;

COMMENT ON VIEW model_calls IS 'Every call of a model: asks of the loop, and generations.';
COMMENT ON COLUMN model_calls.position IS 'the place of the outcome in the log; while it runs, of the request';
COMMENT ON COLUMN model_calls.recorded_at IS 'when that was recorded, UTC';
COMMENT ON COLUMN model_calls.customer IS 'the company that pays';
COMMENT ON COLUMN model_calls.conversation IS 'its name';
COMMENT ON COLUMN model_calls.turn IS 'the turn; null for a generation';
COMMENT ON COLUMN model_calls.call IS 'unique in the conversation';
COMMENT ON COLUMN model_calls.task IS 'what for: `converse` for an ask of the loop, or another task of the routes';
COMMENT ON COLUMN model_calls.route IS 'the route that chose the model; null where an agent or a request names it';
COMMENT ON COLUMN model_calls.model IS 'the model as answered; while it runs or if it failed, as asked';
COMMENT ON COLUMN model_calls.provider IS 'who served it, if told';
COMMENT ON COLUMN model_calls.attempt IS 'from 1; the next one follows a failure';
COMMENT ON COLUMN model_calls.shadow IS 'asked to compare: nobody waits for it';
COMMENT ON COLUMN model_calls.outcome IS '`finished`, `failed`, `running`, or `unsent`: it never left this process';
COMMENT ON COLUMN model_calls.reason IS 'why it failed, or was not sent';
COMMENT ON COLUMN model_calls.finish IS 'why the model stopped; null for a failure and for a generation';
COMMENT ON COLUMN model_calls.input_tokens IS 'inclusive of cached ones; null if not told';
COMMENT ON COLUMN model_calls.output_tokens IS 'inclusive of thinking; null if not told';
COMMENT ON COLUMN model_calls.cached_tokens IS 'the part of the input read from a cache';
COMMENT ON COLUMN model_calls.cached_share IS '`cached_tokens` of `input_tokens`, 0 to 1; of many calls take sum by sum';
COMMENT ON COLUMN model_calls.thinking_tokens IS 'the part of the output spent thinking';
COMMENT ON COLUMN model_calls.usage IS 'usage as JSON, with the provider''s own under `raw`';
COMMENT ON COLUMN model_calls.cost_usd IS 'exact; null when the price is not known';
COMMENT ON COLUMN model_calls.unpriced IS 'it was used, or a provider may have charged for it, and the price is not known';
COMMENT ON COLUMN model_calls.first_ms IS 'when its first words came; null where nobody listened';
COMMENT ON COLUMN model_calls.elapsed_ms IS 'how long it took; null while it runs';
