SELECT id, count, length(body) FROM batch
WHERE id BETWEEN ?1 << 48 AND ?1 << 48 | ?2 AND id + count <= ?1 << 48 | ?2
ORDER BY id LIMIT ?3;
