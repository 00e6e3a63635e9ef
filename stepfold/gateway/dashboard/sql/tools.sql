-- Each tool and what became of its calls, those with an unknown outcome first.
WITH {% include "calls.sql" %}

SELECT
    name, count(*) AS calls,
    count(*) FILTER (status = 'unknown') AS unknown,
    count(*) FILTER (status = 'failed') AS failed,
    count(*) FILTER (status = 'refused') AS refused,
    count(*) FILTER (status IN ('requested', 'running')) AS open,
    count(*) FILTER (status = 'returned') AS returned,
    quantile_cont(elapsed_ms, 0.5) AS p50_ms, quantile_cont(elapsed_ms, 0.95) AS p95_ms
FROM calls
GROUP BY name
ORDER BY unknown DESC, failed DESC, calls DESC, name
LIMIT $rows
