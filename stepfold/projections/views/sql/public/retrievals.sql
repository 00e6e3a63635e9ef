CREATE OR REPLACE VIEW retrievals AS
WITH grouped AS (
    SELECT
        customer, conversation, call,
        min(position) AS position,
        min(recorded_at) AS requested_at,
        any_value(turn) AS turn,
        any_value(if(kind = 'retrieval.requested', event ->> '$.query', NULL)) AS query,
        any_value(if(kind = 'retrieval.requested', event -> '$.collections', NULL)) AS collections,
        arg_min(kind, position) FILTER (kind <> 'retrieval.requested') AS last_kind,
        any_value(reason) AS reason,
        any_value(passages) AS passages,
        any_value(best_score) AS best_score,
        any_value(coalesce(elapsed_ms, 0)) FILTER (kind <> 'retrieval.requested') AS elapsed_ms
    FROM _log.readable
    WHERE kind IN ('retrieval.requested', 'retrieval.returned', 'retrieval.failed')
    GROUP BY ALL
)
SELECT
    position, requested_at, customer, conversation, turn, call, query, collections,
    coalesce(split_part(last_kind, '.', 2), 'requested') AS status,
    reason, passages, best_score, elapsed_ms
FROM grouped;

COMMENT ON VIEW retrievals IS 'Every search of the knowledge.';
COMMENT ON COLUMN retrievals.position IS 'the place of its first step in the log';
COMMENT ON COLUMN retrievals.requested_at IS 'when it was requested, UTC';
COMMENT ON COLUMN retrievals.customer IS 'the company that pays';
COMMENT ON COLUMN retrievals.conversation IS 'its name';
COMMENT ON COLUMN retrievals.turn IS 'the turn';
COMMENT ON COLUMN retrievals.call IS 'unique in the conversation';
COMMENT ON COLUMN retrievals.query IS 'the words searched for';
COMMENT ON COLUMN retrievals.collections IS 'where, a JSON list';
COMMENT ON COLUMN retrievals.status IS '`requested`, `returned` or `failed`';
COMMENT ON COLUMN retrievals.reason IS 'why it failed';
COMMENT ON COLUMN retrievals.passages IS 'how many were found';
COMMENT ON COLUMN retrievals.best_score IS 'the highest score among them; null when none was found';
COMMENT ON COLUMN retrievals.elapsed_ms IS 'how long it took';
