-- One aggregate over the few steps of a call; the first outcome counts, as in the fold. What was
-- refused before it was requested has its arguments in the model's answer alone.
CREATE OR REPLACE VIEW tool_calls AS
WITH grouped AS (
    SELECT
        customer, conversation, call,
        min(position) AS position,
        min(recorded_at) AS requested_at,
        any_value(turn) AS turn,
        any_value(if(kind = 'code.requested', 'run_code', name)) AS name,
        any_value(CASE kind
            WHEN 'tool.requested' THEN event -> '$.arguments'
            WHEN 'code.requested' THEN json_object('code', event -> '$.code')
        END) AS arguments,
        count(*) FILTER (kind = 'tool.started') AS started,
        arg_min(kind, position) FILTER (ends) AS last_kind,
        arg_min(recorded_at, position) FILTER (ends) AS ended_at,
        any_value(if(kind = 'tool.returned', event -> '$.result', NULL)) AS result,
        arg_min(reason, position) FILTER (ends AND reason IS NOT NULL) AS reason,
        arg_min(coalesce(elapsed_ms, 0), position) FILTER (
            kind IN ('tool.returned', 'tool.failed')
        ) AS elapsed_ms
    FROM (
        SELECT
            *, kind IN ('tool.returned', 'tool.failed', 'tool.refused', 'tool.unknown') AS ends
        FROM _log.readable
        WHERE kind IN (
            'tool.requested', 'code.requested', 'tool.started',
            'tool.returned', 'tool.failed', 'tool.refused', 'tool.unknown'
        )
    )
    GROUP BY ALL
),
never_requested AS (
    SELECT customer, conversation FROM grouped WHERE arguments IS NULL
),
wanted AS (
    SELECT customer, conversation, part ->> '$.call' AS call, any_value(part -> '$.arguments') AS arguments
    FROM (
        SELECT customer, conversation, unnest(event -> '$.parts[*]') AS part
        FROM _log.readable
        WHERE kind = 'reason.finished'
            AND (customer, conversation) IN (FROM never_requested)
    )
    WHERE part ->> '$.type' = 'tool_call'
    GROUP BY ALL
)
SELECT
    position, requested_at, customer, conversation, turn, call, name,
    coalesce(grouped.arguments, wanted.arguments) AS arguments,
    CASE
        WHEN last_kind IS NOT NULL THEN split_part(last_kind, '.', 2)
        WHEN started > 0 THEN 'running'
        ELSE 'requested'
    END AS status,
    result, reason, ended_at, elapsed_ms
FROM grouped
LEFT JOIN wanted USING (customer, conversation, call);

COMMENT ON VIEW tool_calls IS 'Every call of a tool that was requested or refused, and code that was to run. Searches are retrievals.';
COMMENT ON COLUMN tool_calls.position IS 'the place of its first step in the log';
COMMENT ON COLUMN tool_calls.requested_at IS 'when it was requested or refused, UTC';
COMMENT ON COLUMN tool_calls.customer IS 'the company that pays';
COMMENT ON COLUMN tool_calls.conversation IS 'its name';
COMMENT ON COLUMN tool_calls.turn IS 'the turn';
COMMENT ON COLUMN tool_calls.call IS 'unique in the conversation';
COMMENT ON COLUMN tool_calls.name IS 'the tool';
COMMENT ON COLUMN tool_calls.arguments IS 'as the model wrote them, JSON';
COMMENT ON COLUMN tool_calls.status IS '`requested`, `running`, `returned`, `failed`, `refused` (never ran) or `unknown` (may have run)';
COMMENT ON COLUMN tool_calls.result IS 'what it returned, JSON';
COMMENT ON COLUMN tool_calls.reason IS 'why it failed, was refused or is unknown';
COMMENT ON COLUMN tool_calls.ended_at IS 'when its outcome was recorded, UTC';
COMMENT ON COLUMN tool_calls.elapsed_ms IS 'how long it ran';
