DELETE FROM settled_range WHERE flow = ?1 AND partition = ?2 AND start = ?3;
