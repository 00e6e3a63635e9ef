-- The calls that people are asked about now, the one that expires first in front.
SELECT
    position, requested_at, customer, conversation, turn, call, name, arguments, reason, digest,
    people, granted_by, expires_at
FROM approvals
WHERE status = 'waiting' AND expires_at > $now AND ($customer IS NULL OR customer = $customer)
ORDER BY expires_at
LIMIT $rows
