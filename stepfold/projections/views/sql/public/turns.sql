CREATE OR REPLACE VIEW turns AS
WITH grouped AS (
    SELECT
        customer, conversation, turn,
        min(recorded_at) AS started_at,
        min(position) FILTER (ends) AS ended,
        arg_min(recorded_at, position) FILTER (ends) AS ended_at,
        arg_min(kind, position) FILTER (ends) AS last_kind,
        arg_min(reason, position) FILTER (ends AND reason IS NOT NULL) AS reason,
        count(*) FILTER (kind = 'reason.requested') AS model_calls,
        count(*) FILTER (kind = 'tool.requested') AS tool_calls,
        count(*) FILTER (kind = 'retrieval.requested') AS retrievals,
        sum(cost_usd) AS cost_usd,
        coalesce(sum(unpriced), 0)::BIGINT AS unpriced
    FROM (
        SELECT *, kind IN ('response.given', 'turn.abandoned', 'turn.cancelled') AS ends
        FROM _log.readable
        WHERE turn IS NOT NULL
    )
    GROUP BY ALL
)
SELECT
    customer, conversation, turn, started_at, ended_at,
    CASE last_kind
        WHEN 'response.given' THEN 'answered'
        WHEN 'turn.abandoned' THEN 'abandoned'
        WHEN 'turn.cancelled' THEN 'cancelled'
        ELSE 'running'
    END AS outcome,
    reason, model_calls, tool_calls, retrievals, cost_usd, unpriced,
    date_diff('microseconds', started_at, ended_at) / 1000 AS elapsed_ms
FROM grouped;

COMMENT ON VIEW turns IS 'From the first ask of the model to the answer, or to the end without one.';
COMMENT ON COLUMN turns.customer IS 'the company that pays';
COMMENT ON COLUMN turns.conversation IS 'its name';
COMMENT ON COLUMN turns.turn IS 'its number in the conversation, from 1';
COMMENT ON COLUMN turns.started_at IS 'when the model was first asked, UTC';
COMMENT ON COLUMN turns.ended_at IS 'when it ended, UTC; null while it runs';
COMMENT ON COLUMN turns.outcome IS '`answered`, `abandoned`, `cancelled` or `running`';
COMMENT ON COLUMN turns.reason IS 'why it was abandoned or cancelled';
COMMENT ON COLUMN turns.model_calls IS 'how often a model was asked: further attempts and shadows included';
COMMENT ON COLUMN turns.tool_calls IS 'tools requested; refused calls are not among them';
COMMENT ON COLUMN turns.retrievals IS 'searches requested';
COMMENT ON COLUMN turns.cost_usd IS 'the sum of the known prices, as in `spend`; null when none is known';
COMMENT ON COLUMN turns.unpriced IS 'paid calls at an unknown price';
COMMENT ON COLUMN turns.elapsed_ms IS 'from start to end; null while it runs';
