SELECT
    a.attname AS name,
    t.typname AS type_name,
    n.nspname AS type_schema,
    t.typcategory = 'A' AS is_array,
    element.typname AS element_name,
    format_type(a.atttypid, a.atttypmod) AS shown,
    plain.modifier,
    a.attgenerated <> '' AS is_generated,
    a.attidentity = 'a' AS is_identity
FROM pg_attribute AS a
CROSS JOIN LATERAL (
    WITH RECURSIVE kind AS (
        SELECT a.atttypid AS id, a.atttypmod AS modifier
        UNION ALL
        SELECT d.typbasetype, d.typtypmod
        FROM kind JOIN pg_type AS d ON d.oid = kind.id
        WHERE d.typtype = 'd'
    )
    SELECT b.oid AS id, kind.modifier
    FROM kind JOIN pg_type AS b ON b.oid = kind.id
    WHERE b.typtype <> 'd'
) AS plain
JOIN pg_type AS t ON t.oid = plain.id
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_type AS element ON element.oid = t.typelem
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
