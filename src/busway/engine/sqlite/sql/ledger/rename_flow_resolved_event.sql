UPDATE resolved_event SET flow = ?2 WHERE flow = ?1;
