-- What every view reads: all steps, or those up to a position or a time (see query.py).
CREATE OR REPLACE VIEW _log.seen AS
FROM _log.steps
WHERE position <= coalesce(getvariable('as_of'), 9223372036854775807)
    AND recorded_at <= coalesce(getvariable('as_of_time'), TIMESTAMP 'infinity');

CREATE OR REPLACE VIEW _log.readable AS FROM _log.seen WHERE error IS NULL;

CREATE OR REPLACE VIEW steps AS
SELECT
    position, recorded_at, customer, conversation, kind, turn, call,
    author, id, cause, trace, event, error
FROM _log.seen;

COMMENT ON VIEW steps IS 'Every step of the log, one row each, in the order of `position`.';
COMMENT ON COLUMN steps.position IS 'the place in the log';
COMMENT ON COLUMN steps.recorded_at IS 'when it was recorded, UTC';
COMMENT ON COLUMN steps.customer IS 'the company that pays';
COMMENT ON COLUMN steps.conversation IS 'its name, unique for the customer';
COMMENT ON COLUMN steps.kind IS '`noun.verb`, as in docs/events.md';
COMMENT ON COLUMN steps.turn IS 'the turn it belongs to; null outside turns';
COMMENT ON COLUMN steps.call IS 'what a request and its outcome share';
COMMENT ON COLUMN steps.author IS 'the step''s `by`: which handler or channel appended it';
COMMENT ON COLUMN steps.id IS 'the step''s id';
COMMENT ON COLUMN steps.cause IS 'the id of the step it follows from; null if none is recorded';
COMMENT ON COLUMN steps.trace IS 'the W3C trace context it was appended in';
COMMENT ON COLUMN steps.event IS 'the event as JSON; null when unreadable';
COMMENT ON COLUMN steps.error IS 'why it cannot be read; then only where it stands is known';
