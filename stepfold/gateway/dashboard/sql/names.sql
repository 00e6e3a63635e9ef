-- What the lists can be narrowed to: customers and agents.
SELECT 'agent' AS what, name, count(*) AS conversations
FROM _log.readable
WHERE kind = 'conversation.started' AND name <> '' AND ($customer IS NULL OR customer = $customer)
GROUP BY ALL
UNION ALL
SELECT 'customer' AS what, customer AS name, count(*) AS conversations
FROM _log.tails
WHERE $customer IS NULL OR customer = $customer
GROUP BY ALL
ORDER BY what, conversations DESC, name
LIMIT $rows
