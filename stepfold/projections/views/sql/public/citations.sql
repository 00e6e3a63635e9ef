CREATE OR REPLACE VIEW citations AS
WITH answers AS (
    SELECT
        position, recorded_at, customer, conversation, turn,
        json_transform(event, '{
            "citations": [{
                "document": "VARCHAR", "digest": "VARCHAR",
                "start": "BIGINT", "end": "BIGINT", "quote": "VARCHAR"
            }],
            "refused": [{
                "citation": {
                    "document": "VARCHAR", "digest": "VARCHAR",
                    "start": "BIGINT", "end": "BIGINT", "quote": "VARCHAR"
                },
                "reason": "VARCHAR"
            }]
        }') AS answer
    FROM _log.readable
    WHERE kind = 'response.given'
),
cited AS (
    SELECT * EXCLUDE answer, unnest(answer.citations) AS citation, true AS accepted, NULL AS reason
    FROM answers
    UNION ALL
    SELECT * EXCLUDE (answer, refused), refused.citation, false AS accepted, refused.reason
    FROM (SELECT *, unnest(answer.refused) AS refused FROM answers)
)
SELECT
    position, recorded_at, customer, conversation, turn,
    citation.document AS document, citation.digest AS digest,
    citation.start AS span_start, citation."end" AS span_end, citation.quote AS quote,
    accepted, reason
FROM cited;

COMMENT ON VIEW citations IS 'Every citation of an answer, accepted or refused.';
COMMENT ON COLUMN citations.position IS 'the place of the answer in the log';
COMMENT ON COLUMN citations.recorded_at IS 'when the answer was recorded, UTC';
COMMENT ON COLUMN citations.customer IS 'the company that pays';
COMMENT ON COLUMN citations.conversation IS 'its name';
COMMENT ON COLUMN citations.turn IS 'the turn that was answered';
COMMENT ON COLUMN citations.document IS 'the document''s id';
COMMENT ON COLUMN citations.digest IS 'the version of its content';
COMMENT ON COLUMN citations.span_start IS 'the first code point of the quote';
COMMENT ON COLUMN citations.span_end IS 'the one after its last';
COMMENT ON COLUMN citations.quote IS 'the words, verbatim';
COMMENT ON COLUMN citations.accepted IS 'whether a retrieved passage holds the quote';
COMMENT ON COLUMN citations.reason IS 'why it was refused';
