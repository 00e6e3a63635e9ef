-- How turns ended, by hour or day, and how long they took. A turn counts where its first ask is.
WITH turns AS (
    SELECT
        customer, conversation, turn, min(recorded_at) AS started_at,
        arg_min(kind, position) FILTER (ends) AS ended,
        date_diff('microseconds', min(recorded_at), arg_min(recorded_at, position) FILTER (ends))
            / 1000 AS elapsed_ms
    FROM (
        SELECT *, kind IN ('response.given', 'turn.abandoned', 'turn.cancelled') AS ends
        FROM _log.readable
        WHERE turn IS NOT NULL
            AND kind IN ('reason.requested', 'response.given', 'turn.abandoned', 'turn.cancelled')
            AND recorded_at >= $since
            AND ($customer IS NULL OR customer = $customer)
    )
    GROUP BY customer, conversation, turn
    HAVING bool_or(heard > 0)
)
SELECT
    if($all, NULL, date_trunc($unit, started_at)) AS time,
    count(*) AS turns,
    count(*) FILTER (ended = 'response.given') AS answered,
    count(*) FILTER (ended = 'turn.abandoned') AS abandoned,
    count(*) FILTER (ended = 'turn.cancelled') AS cancelled,
    quantile_cont(elapsed_ms, 0.5) FILTER (ended = 'response.given') AS p50_ms,
    quantile_cont(elapsed_ms, 0.95) FILTER (ended = 'response.given') AS p95_ms,
    max(elapsed_ms) FILTER (ended = 'response.given') AS max_ms
FROM turns
GROUP BY ALL
ORDER BY time DESC
LIMIT $rows
