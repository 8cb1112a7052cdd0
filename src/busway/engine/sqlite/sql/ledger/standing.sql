SELECT attempts, state, key FROM trouble
WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3 AND (?4 IS NULL OR event = ?4);
