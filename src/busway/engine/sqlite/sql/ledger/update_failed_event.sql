UPDATE failed_event SET state = ?4, since = ?5, attempts = ?6, due = ?7, attempt_started_at = ?8
WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3
    AND event_id = ?9 AND key IS ?10 AND failures = ?11 AND event = ?12
    AND event_key IS ?13 AND error = ?14 AND fingerprint = ?15
    AND attempts = ?16 AND state = ?17;
