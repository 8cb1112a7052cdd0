SELECT
    a.attname AS name,
    t.typname AS type_name,
    n.nspname AS type_schema,
    t.typcategory = 'A' AS is_array,
    element.typname AS element_name,
    format_type(a.atttypid, a.atttypmod) AS shown
FROM pg_attribute AS a
CROSS JOIN LATERAL (
    WITH RECURSIVE kind AS (
        SELECT a.atttypid AS id
        UNION ALL
        SELECT d.typbasetype FROM kind JOIN pg_type AS d ON d.oid = kind.id WHERE d.typtype = 'd'
    )
    SELECT b.oid AS id FROM kind JOIN pg_type AS b ON b.oid = kind.id WHERE b.typtype <> 'd'
) AS plain
JOIN pg_type AS t ON t.oid = plain.id
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_type AS element ON element.oid = t.typelem
WHERE
    a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
