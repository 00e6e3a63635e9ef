-- How the latest answers came out. One row.
SELECT
    count(*) AS answers,
    count(*) FILTER (outcome = 'refusal') AS refused,
    count(*) FILTER (outcome = 'hand_off') AS handed_off,
    count(*) FILTER (outcome = 'answer' AND citations = 0) AS uncited,
    min(recorded_at) AS since
FROM (
    SELECT
        recorded_at, coalesce(event ->> '$.outcome', 'answer') AS outcome,
        coalesce(json_array_length(event -> '$.citations'), 0) AS citations
    FROM (
        SELECT recorded_at, event
        FROM _log.readable AS given
        WHERE kind = 'response.given' AND ($customer IS NULL OR customer = $customer)
{% if agent %}
            AND EXISTS (
                FROM _log.readable AS started
                WHERE started.kind = 'conversation.started' AND started.name = $agent
                    AND started.customer = given.customer
                    AND started.conversation = given.conversation
            )
{% endif %}
        ORDER BY position DESC
        LIMIT $answers
    )
)
