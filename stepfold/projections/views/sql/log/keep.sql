-- The staged steps become part of the views. The caller's transaction makes it all or nothing.
INSERT INTO log.steps SELECT * EXCLUDE (after, odd) FROM staged;

MERGE INTO log.tails
USING (
    SELECT customer, conversation, max(position) AS position
    FROM staged
    WHERE conversation <> ''
    GROUP BY ALL
) AS heads
USING (customer, conversation)
WHEN MATCHED THEN UPDATE SET position = heads.position
WHEN NOT MATCHED THEN INSERT VALUES (heads.customer, heads.conversation, heads.position);

UPDATE log.checkpoint SET position = (SELECT max(position) FROM staged);
