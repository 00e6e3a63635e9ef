-- What went wrong since a time, by kind and reason.
SELECT
    kind, reason, count(*) AS times, max(recorded_at) AS last_at,
    arg_max(customer, position) AS customer, arg_max(conversation, position) AS conversation,
    max(position) AS position
FROM _log.readable
WHERE recorded_at >= $since
    AND kind IN (
        'turn.abandoned', 'tool.unknown', 'tool.failed', 'retrieval.failed', 'reason.failed',
        'generation.abandoned', 'conversation.stopped', 'approval.expired'
    )
    AND ($customer IS NULL OR customer = $customer)
GROUP BY kind, reason
ORDER BY times DESC, kind, reason
LIMIT $rows
