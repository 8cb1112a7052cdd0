UPDATE partition SET base = ?2 WHERE partition = ?1;
