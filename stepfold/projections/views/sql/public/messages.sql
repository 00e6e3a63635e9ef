-- A contact's message belongs to the turn that heard it: that of the first ask after it that hears,
-- or of a turn that was abandoned before it could ask. It has no turn while it waits.
CREATE OR REPLACE VIEW messages AS
WITH hearings AS (
    SELECT customer, conversation, position, turn
    FROM _log.readable
    WHERE kind = 'reason.requested' AND heard > 0
    UNION ALL
    SELECT customer, conversation, position, turn
    FROM _log.readable AS abandoned
    WHERE kind = 'turn.abandoned' AND NOT EXISTS (
        FROM _log.readable AS ask
        WHERE ask.kind = 'reason.requested'
            AND ask.customer = abandoned.customer
            AND ask.conversation = abandoned.conversation
            AND ask.turn = abandoned.turn
    )
),
received AS (
    SELECT
        said.position, said.recorded_at, said.customer, said.conversation, hearings.turn,
        said.event
    FROM (FROM _log.readable WHERE kind = 'message.received') AS said
    ASOF LEFT JOIN hearings
        ON said.customer = hearings.customer
        AND said.conversation = hearings.conversation
        AND said.position < hearings.position
)
SELECT
    position, recorded_at, customer, conversation, turn, 'contact' AS role,
    event ->> '$.text' AS text, event ->> '$.message' AS message
FROM received
UNION ALL
SELECT
    position, recorded_at, customer, conversation, turn, 'agent' AS role,
    event ->> '$.text' AS text, NULL AS message
FROM _log.readable
WHERE kind = 'response.given';

COMMENT ON VIEW messages IS 'What was said: the contact''s messages and the agent''s answers.';
COMMENT ON COLUMN messages.position IS 'the place in the log';
COMMENT ON COLUMN messages.recorded_at IS 'when it was recorded, UTC';
COMMENT ON COLUMN messages.customer IS 'the company that pays';
COMMENT ON COLUMN messages.conversation IS 'its name';
COMMENT ON COLUMN messages.turn IS 'the turn that heard it or gave it; null while it waits';
COMMENT ON COLUMN messages.role IS '`contact` or `agent`';
COMMENT ON COLUMN messages.text IS 'the words';
COMMENT ON COLUMN messages.message IS 'the channel''s own id of a contact''s message';
