-- The new steps become part of the views. The caller's transaction makes it all or nothing.
MERGE INTO _log.tails
USING (
    SELECT customer, conversation, max(position) AS position
    FROM _log.steps
    WHERE position > getvariable('checkpoint') AND conversation <> ''
    GROUP BY ALL
) AS heads
USING (customer, conversation)
WHEN MATCHED THEN UPDATE SET position = heads.position
WHEN NOT MATCHED THEN INSERT VALUES (heads.customer, heads.conversation, heads.position);

UPDATE _log.checkpoint
SET position = (
    SELECT coalesce(max(position), getvariable('checkpoint'))
    FROM _log.steps
    WHERE position > getvariable('checkpoint')
);
