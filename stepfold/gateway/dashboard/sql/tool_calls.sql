-- The latest calls that did not simply return, unknown ones first.
WITH {% include "calls.sql" %}

SELECT
    position, requested_at, customer, conversation, turn, call, name, status, reason, elapsed_ms
FROM calls
WHERE ($tool IS NULL OR name = $tool)
    AND if($status IS NULL, status IN ('unknown', 'failed', 'refused'), status = $status)
ORDER BY status = 'unknown' DESC, position DESC
LIMIT $rows
