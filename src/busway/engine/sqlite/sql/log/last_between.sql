SELECT id, count, appended_at FROM batch WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1;
