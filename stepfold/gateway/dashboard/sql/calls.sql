-- The calls of tools, as the view `tool_calls` tells them, without what they were called with: the view
-- reads the models' answers for that.
calls AS (
    SELECT
        * EXCLUDE (started, last_kind),
        CASE
            WHEN last_kind IS NOT NULL THEN split_part(last_kind, '.', 2)
            WHEN started > 0 THEN 'running'
            ELSE 'requested'
        END AS status
    FROM (
        SELECT
            customer, conversation, call,
            min(position) AS position,
            min(recorded_at) AS requested_at,
            any_value(turn) AS turn,
            any_value(if(kind = 'code.requested', 'run_code', name)) AS name,
            count(*) FILTER (kind = 'tool.started') AS started,
            arg_min(kind, position) FILTER (ends) AS last_kind,
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
                AND ($customer IS NULL OR customer = $customer)
        )
        GROUP BY customer, conversation, call
    )
    WHERE requested_at >= $since
)
