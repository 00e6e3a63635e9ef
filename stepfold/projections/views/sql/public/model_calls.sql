-- Outcomes carry all that a bill needs, so the cost views read this and join nothing.
CREATE OR REPLACE VIEW _log.model_outcomes AS
SELECT
    position, recorded_at, customer, conversation, turn, call, model,
    nullif(provider, '') AS provider, coalesce(attempt, 1) AS attempt,
    kind IN ('generation.finished', 'generation.failed') AS direct,
    if(kind IN ('reason.finished', 'generation.finished'), 'finished', 'failed') AS outcome,
    reason, input_tokens, output_tokens, cached_tokens, thinking_tokens, cost_usd,
    cost_usd IS NULL AND (
        kind IN ('reason.finished', 'generation.finished')
        OR coalesce(input_tokens, output_tokens) IS NOT NULL
    ) AS unpriced,
    coalesce(elapsed_ms, 0) AS elapsed_ms, event
FROM _log.readable
WHERE kind IN ('reason.finished', 'reason.failed', 'generation.finished', 'generation.failed');

CREATE OR REPLACE VIEW model_calls AS
WITH tasks AS (
    SELECT customer, conversation, call, any_value(name) AS task
    FROM _log.readable
    WHERE kind = 'generation.requested'
    GROUP BY ALL
),
running AS (
    SELECT *
    FROM _log.readable AS asked
    WHERE kind IN ('reason.requested', 'generation.requested') AND NOT EXISTS (
        FROM _log.model_outcomes AS outcome
        WHERE outcome.customer = asked.customer
            AND outcome.conversation = asked.conversation
            AND outcome.call = asked.call
    )
)
SELECT
    position, recorded_at, customer, conversation, turn, call, NULL AS task,
    model, provider, attempt, outcome, reason, if(outcome = 'finished', coalesce(event ->> '$.finish', 'stop'), NULL) AS finish,
    input_tokens, output_tokens, cached_tokens, thinking_tokens,
    event -> '$.usage' AS usage, cost_usd, unpriced, elapsed_ms
FROM _log.model_outcomes
WHERE NOT direct
UNION ALL
SELECT
    position, recorded_at, customer, conversation, turn, call, task,
    model, provider, attempt, outcome, reason, NULL AS finish,
    input_tokens, output_tokens, cached_tokens, thinking_tokens,
    event -> '$.usage' AS usage, cost_usd, unpriced, elapsed_ms
FROM (FROM _log.model_outcomes WHERE direct)
LEFT JOIN tasks USING (customer, conversation, call)
UNION ALL
SELECT
    position, recorded_at, customer, conversation, turn, call, name AS task,
    model, NULL AS provider, coalesce(attempt, 1) AS attempt, 'running' AS outcome,
    NULL AS reason, NULL AS finish,
    NULL AS input_tokens, NULL AS output_tokens, NULL AS cached_tokens, NULL AS thinking_tokens,
    NULL AS usage, NULL AS cost_usd, false AS unpriced, NULL AS elapsed_ms
FROM running;

COMMENT ON VIEW model_calls IS 'Every call of a model: asks of the loop, and generations.';
COMMENT ON COLUMN model_calls.position IS 'the place of the outcome in the log; while it runs, of the request';
COMMENT ON COLUMN model_calls.recorded_at IS 'when that was recorded, UTC';
COMMENT ON COLUMN model_calls.customer IS 'the company that pays';
COMMENT ON COLUMN model_calls.conversation IS 'its name';
COMMENT ON COLUMN model_calls.turn IS 'the turn; null for a generation';
COMMENT ON COLUMN model_calls.call IS 'unique in the conversation';
COMMENT ON COLUMN model_calls.task IS 'what a generation was for; null for an ask of the loop';
COMMENT ON COLUMN model_calls.model IS 'the model as answered; while it runs or if it failed, as asked';
COMMENT ON COLUMN model_calls.provider IS 'who served it, if told';
COMMENT ON COLUMN model_calls.attempt IS 'from 1; the next one follows a failure';
COMMENT ON COLUMN model_calls.outcome IS '`finished`, `failed` or `running`';
COMMENT ON COLUMN model_calls.reason IS 'why it failed';
COMMENT ON COLUMN model_calls.finish IS 'why the model stopped; null for a failure';
COMMENT ON COLUMN model_calls.input_tokens IS 'inclusive of cached ones; null if not told';
COMMENT ON COLUMN model_calls.output_tokens IS 'inclusive of thinking; null if not told';
COMMENT ON COLUMN model_calls.cached_tokens IS 'the part of the input read from a cache';
COMMENT ON COLUMN model_calls.thinking_tokens IS 'the part of the output spent thinking';
COMMENT ON COLUMN model_calls.usage IS 'usage as JSON, with the provider''s own under `raw`';
COMMENT ON COLUMN model_calls.cost_usd IS 'exact; null when the price is not known';
COMMENT ON COLUMN model_calls.unpriced IS 'it used tokens and the price is not known';
COMMENT ON COLUMN model_calls.elapsed_ms IS 'how long it took; null while it runs';
