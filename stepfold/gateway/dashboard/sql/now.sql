-- How many conversations are in which state. One row. One that has only begun is at rest, so it need
-- not be looked at to be counted.
{% set counted = true %}
WITH {% include "states.sql" %}
SELECT
    (
        SELECT count(*)
        FROM _log.tails
        WHERE conversation <> '' AND ($customer IS NULL OR customer = $customer)
    ) AS conversations,
    count(*) FILTER (state = 'running') AS running,
    min(since) FILTER (state = 'running') AS running_since,
    count(*) FILTER (state = 'stopped') AS stopped,
    count(*) FILTER (state = 'unreadable') AS unreadable
FROM states
