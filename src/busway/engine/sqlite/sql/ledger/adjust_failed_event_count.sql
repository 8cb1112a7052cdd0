UPDATE failed_event_count SET count = count + ?5
WHERE state = ?1 AND flow = ?2 AND fingerprint = ?3 AND error = ?4;
