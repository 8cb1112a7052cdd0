SELECT
    coalesce(
        (SELECT id FROM batch
            WHERE id BETWEEN ?1 << 48 AND (?1 + 1 << 48) - 1
            ORDER BY id LIMIT 1),
        base
    ),
    max(base, coalesce(
        (SELECT id + count FROM batch
            WHERE id BETWEEN ?1 << 48 AND (?1 + 1 << 48) - 1
            ORDER BY id DESC LIMIT 1),
        base
    ))
FROM partition WHERE partition = ?1;
