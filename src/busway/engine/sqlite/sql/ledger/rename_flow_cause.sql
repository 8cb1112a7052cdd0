UPDATE cause SET flow = ?2 WHERE flow = ?1;
