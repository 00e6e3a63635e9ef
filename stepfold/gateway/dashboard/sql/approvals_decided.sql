-- What became of the questions that are over, the latest first.
SELECT
    requested_at, customer, conversation, turn, call, name, arguments, people, granted_by, denied_by,
    if(status = 'waiting', 'expired', status) AS status,
    granted_at
FROM approvals
WHERE (status <> 'waiting' OR expires_at <= $now) AND ($customer IS NULL OR customer = $customer)
    AND ($tool IS NULL OR name = $tool)
    AND ($status IS NULL OR if(status = 'waiting', 'expired', status) = $status)
ORDER BY position DESC
LIMIT $rows
