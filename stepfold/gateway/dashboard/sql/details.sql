-- What single steps say beside their reason.
SELECT position, left(event ->> '$.detail', 200) AS detail
FROM _log.readable
WHERE position IN $positions AND ($customer IS NULL OR customer = $customer)
