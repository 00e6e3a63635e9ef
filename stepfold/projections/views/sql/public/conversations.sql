-- `running`: a turn is open, a message is unheard, or a job is: a generation that was asked for, whose
-- attempts have neither given what was wanted nor been given up.
CREATE OR REPLACE VIEW conversations AS
WITH started AS (
    SELECT
        customer, conversation, arg_min(name, position) AS agent,
        arg_min(event ->> '$.digest', position) AS digest,
        arg_min(event ->> '$.contact', position) AS contact,
        arg_min(event ->> '$.channel', position) AS channel,
        arg_min(event ->> '$.origin', position) AS origin
    FROM _log.readable
    WHERE kind = 'conversation.started'
    GROUP BY ALL
),
grouped AS (
    SELECT
        customer, conversation,
        min(recorded_at) AS started_at,
        max(recorded_at) AS last_at,
        count(DISTINCT turn) AS turns,
        count(*) FILTER (kind IN ('message.received', 'response.given')) AS messages,
        count(*) AS steps,
        count(*) FILTER (kind IN ('reason.requested', 'generation.requested')) AS model_calls,
        count(*) FILTER (kind = 'tool.requested') AS tool_calls,
        count(*) FILTER (kind = 'retrieval.requested') AS retrievals,
        sum(cost_usd) AS cost_usd,
        coalesce(sum(unpriced), 0)::BIGINT AS unpriced,
        coalesce(max(turn) FILTER (kind = 'reason.requested'), 0) AS asked_turn,
        coalesce(max(turn) FILTER (
            kind IN ('response.given', 'turn.abandoned', 'turn.cancelled')
        ), 0) AS ended_turn,
        coalesce(max(position) FILTER (kind = 'message.received'), 0) AS last_message,
        coalesce(max(position) FILTER (kind = 'reason.requested' AND heard > 0), 0) AS last_heard,
        coalesce(max(turn) FILTER (kind = 'turn.abandoned'), 0) AS abandoned_turn,
        coalesce(max(position) FILTER (kind = 'turn.abandoned'), 0) AS abandoned,
        count(*) FILTER (kind = 'generation.requested' AND coalesce(attempt, 1) = 1)
            > count(*) FILTER (kind IN ('generation.finished', 'generation.abandoned'))
            AS generating,
        arg_min(reason, position) FILTER (kind = 'conversation.stopped') AS stopped,
        arg_min(error, position) FILTER (error IS NOT NULL) AS error
    FROM (SELECT * REPLACE (if(error IS NULL, kind, NULL) AS kind) FROM _log.seen)
    WHERE conversation <> ''
    GROUP BY ALL
)
SELECT
    customer, conversation, agent, digest, contact, channel, origin, started_at, last_at,
    turns, messages, steps, model_calls, tool_calls, retrievals, cost_usd, unpriced,
    CASE
        WHEN stopped IS NOT NULL THEN 'stopped'
        WHEN error IS NOT NULL THEN 'unreadable'
        WHEN asked_turn > ended_turn OR generating THEN 'running'
        WHEN last_message > greatest(last_heard, if(abandoned_turn > asked_turn, abandoned, 0))
            THEN 'running'
        ELSE 'at rest'
    END AS state,
    coalesce(stopped, error) AS reason
FROM grouped
LEFT JOIN started USING (customer, conversation);

COMMENT ON VIEW conversations IS 'One row per conversation.';
COMMENT ON COLUMN conversations.customer IS 'the company that pays';
COMMENT ON COLUMN conversations.conversation IS 'its name, unique for the customer';
COMMENT ON COLUMN conversations.agent IS 'the agent';
COMMENT ON COLUMN conversations.digest IS 'the version of the agent that it is pinned to';
COMMENT ON COLUMN conversations.contact IS 'who writes';
COMMENT ON COLUMN conversations.channel IS 'through which channel it began';
COMMENT ON COLUMN conversations.origin IS 'where an imported recording comes from';
COMMENT ON COLUMN conversations.started_at IS 'when its first step was recorded, UTC';
COMMENT ON COLUMN conversations.last_at IS 'when its last step was recorded, UTC';
COMMENT ON COLUMN conversations.turns IS 'how many turns there have been';
COMMENT ON COLUMN conversations.messages IS 'messages of the contact and answers of the agent';
COMMENT ON COLUMN conversations.steps IS 'how many steps it has';
COMMENT ON COLUMN conversations.model_calls IS 'how often a model was asked: further attempts, generations and shadows included';
COMMENT ON COLUMN conversations.tool_calls IS 'tools requested; refused calls are not among them';
COMMENT ON COLUMN conversations.retrievals IS 'searches requested';
COMMENT ON COLUMN conversations.cost_usd IS 'the sum of the known prices, as in `spend`; null when none is known';
COMMENT ON COLUMN conversations.unpriced IS 'paid calls at an unknown price';
COMMENT ON COLUMN conversations.state IS '`running`, `at rest`, `stopped`, or `unreadable`: a step of it cannot be read';
COMMENT ON COLUMN conversations.reason IS 'why it was stopped or is unreadable';
