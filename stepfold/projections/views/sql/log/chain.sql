-- The new steps that do not follow the last step of their conversation. `after` is null
-- where it is not known: in an archive, and in a payload that cannot be read. A negative one is of
-- another log, and unreadable already.
WITH linked AS (
    SELECT
        position, customer, conversation, after,
        lag(position) OVER (PARTITION BY customer, conversation ORDER BY position) AS before
    FROM _log.steps
    WHERE position > getvariable('checkpoint') AND conversation <> ''
)
SELECT
    linked.position, linked.customer, linked.conversation, linked.after,
    coalesce(linked.before, tails.position, 0) AS before
FROM linked
LEFT JOIN _log.tails AS tails USING (customer, conversation)
WHERE linked.after >= 0 AND linked.after <> coalesce(linked.before, tails.position, 0)
ORDER BY linked.position
