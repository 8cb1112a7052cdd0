DELETE FROM failed_event
WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3
    AND attempts = ?4 AND state = ?5 AND (?6 IS NULL OR event = ?6)
RETURNING key, fingerprint, error;
