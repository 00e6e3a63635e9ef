-- What a list shows of the conversations `$names`, of which `$positions` are the last steps: so only
-- their rows are read. Two customers may each have one of a name; the positions tell them apart.
WITH {% include "states.sql" %},
page AS (
    SELECT customer, conversation, position
    FROM _log.tails
    WHERE position IN $positions AND conversation IN $names
        AND ($customer IS NULL OR customer = $customer)
),
grouped AS (
    SELECT
        customer, conversation,
        arg_min(name, position) FILTER (kind = 'conversation.started') AS agent,
        arg_min(event ->> '$.digest', position) FILTER (kind = 'conversation.started') AS digest,
        arg_min(event ->> '$.contact', position) FILTER (kind = 'conversation.started') AS contact,
        arg_min(event ->> '$.channel', position) FILTER (kind = 'conversation.started') AS channel,
        min(recorded_at) AS started_at,
        max(recorded_at) AS last_at,
        count(DISTINCT turn) AS turns,
        count(*) AS steps,
        sum(cost_usd) AS cost_usd,
        coalesce(sum(unpriced), 0)::BIGINT AS unpriced,
        arg_max(event ->> '$.text', position) FILTER (kind = 'message.received') AS asked,
        arg_max(event ->> '$.text', position) FILTER (kind = 'response.given') AS answered,
        coalesce(max(position) FILTER (kind = 'message.received'), 0)
            > coalesce(max(position) FILTER (kind = 'response.given'), 0) AS contact_last,
        -- The last word on approvals: some are asked about and nobody has said no yet.
        coalesce(arg_max(kind, position) FILTER (kind IN (
            'approval.requested', 'approval.denied', 'approval.expired', 'tool.requested',
            'response.given', 'turn.abandoned', 'turn.cancelled'
        )) = 'approval.requested', false) AS waits
    FROM _log.readable
    WHERE conversation IN $names AND ($customer IS NULL OR customer = $customer)
    GROUP BY customer, conversation
)
SELECT
    customer, conversation, state, failed, waits, agent, digest, contact, channel, started_at,
    last_at, position, turns, steps, cost_usd, unpriced,
    left(if(contact_last, asked, coalesce(answered, asked)), 200) AS words, contact_last
FROM page
LEFT JOIN grouped USING (customer, conversation)
LEFT JOIN states USING (customer, conversation)
ORDER BY position DESC
