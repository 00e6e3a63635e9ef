-- How many conversations are in which state. One row.
WITH {% include "states.sql" %}
SELECT
    count(*) AS conversations,
    count(*) FILTER (state = 'running') AS running,
    min(since) FILTER (state = 'running') AS running_since,
    count(*) FILTER (state = 'stopped') AS stopped,
    count(*) FILTER (state = 'unreadable') AS unreadable
FROM states
