DELETE FROM failed_event_count WHERE flow = ?1;
