-- Of the latest answers those that say nothing from the knowledge: refusals, passing on to a
-- colleague, and answers without an accepted quote; each with the message before it.
WITH answers AS (
    SELECT position, recorded_at, customer, conversation, turn, event
    FROM _log.readable AS given
    WHERE kind = 'response.given' AND ($customer IS NULL OR customer = $customer)
{% if agent %}
        AND EXISTS (
            FROM _log.readable AS started
            WHERE started.kind = 'conversation.started' AND started.name = $agent
                AND started.customer = given.customer AND started.conversation = given.conversation
        )
{% endif %}
    ORDER BY position DESC
    LIMIT $answers
),
lacking AS (
    SELECT
        * EXCLUDE event, event ->> '$.text' AS answer, event ->> '$.reason' AS reason,
        coalesce(event ->> '$.outcome', 'answer') AS outcome
    FROM answers
    WHERE (
            coalesce(event ->> '$.outcome', 'answer') <> 'answer'
            OR coalesce(json_array_length(event -> '$.citations'), 0) = 0
        )
        AND ($outcome IS NULL OR coalesce(event ->> '$.outcome', 'answer') = $outcome)
    ORDER BY position DESC
    LIMIT $rows
),
asked AS (
    SELECT
        lacking.position, max(said.position) AS asked
    FROM lacking
    JOIN _log.readable AS said
        ON said.customer = lacking.customer AND said.conversation = lacking.conversation
        AND said.kind = 'message.received' AND said.position < lacking.position
    GROUP BY lacking.position
)
SELECT
    lacking.position, lacking.recorded_at, lacking.customer, lacking.conversation, lacking.turn,
    lacking.outcome, question.event ->> '$.text' AS question, lacking.answer, lacking.reason
FROM lacking
LEFT JOIN asked USING (position)
LEFT JOIN _log.readable AS question ON question.position = asked.asked
ORDER BY lacking.position DESC
