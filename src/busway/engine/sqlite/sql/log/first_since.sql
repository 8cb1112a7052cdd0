SELECT id FROM batch
WHERE id BETWEEN ?1 << 48 AND (?1 + 1 << 48) - 1 AND appended_at >= ?2
ORDER BY id LIMIT 1;
