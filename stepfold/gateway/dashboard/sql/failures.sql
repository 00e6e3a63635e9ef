-- What went wrong since a time, by kind and reason. Calls whose outcome nobody knows are of interest
-- for longer.
SELECT
    kind, reason, count(*) AS times, max(recorded_at) AS last_at,
    arg_max(customer, position) AS customer, arg_max(conversation, position) AS conversation,
    max(position) AS position
FROM _log.readable
WHERE recorded_at >= if(kind = 'tool.unknown', $unknown_since, $since)
    AND kind IN (
        'turn.abandoned', 'tool.unknown', 'tool.failed', 'retrieval.failed', 'reason.failed',
        'generation.abandoned', 'conversation.stopped', 'approval.expired'
    )
    AND ($customer IS NULL OR customer = $customer)
GROUP BY kind, reason
ORDER BY times DESC, kind, reason
LIMIT $rows
