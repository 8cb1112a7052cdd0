INSERT INTO batch (id, count, appended_at, body)
SELECT coalesce(
    (SELECT id + count FROM batch WHERE id BETWEEN ?1 << 48 AND (?1 + 1 << 48) - 1
        ORDER BY id DESC LIMIT 1),
    (SELECT base FROM partition WHERE partition = ?1)
), ?2, ?3, ?4
RETURNING id;
