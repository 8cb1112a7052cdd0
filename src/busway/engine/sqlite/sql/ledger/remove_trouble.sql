DELETE FROM trouble WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3;
