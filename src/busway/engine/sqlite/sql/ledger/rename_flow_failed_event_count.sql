UPDATE failed_event_count SET flow = ?2 WHERE flow = ?1;
