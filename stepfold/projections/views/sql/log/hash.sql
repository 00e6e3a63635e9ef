-- Equal for equal rows in any order; counts, so that a doubled row does not cancel itself out.
SELECT concat_ws('-',
    (SELECT concat(count(*), '.', coalesce(sum(hash(steps)::HUGEINT), 0)) 
        FROM (SELECT * EXCLUDE after FROM _log.steps) AS steps),
    (SELECT concat(count(*), '.', coalesce(sum(hash(tails)::HUGEINT), 0)) FROM _log.tails AS tails),
    (SELECT position FROM _log.checkpoint)
)
