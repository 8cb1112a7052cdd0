DELETE FROM failed_event_count WHERE count = 0;
