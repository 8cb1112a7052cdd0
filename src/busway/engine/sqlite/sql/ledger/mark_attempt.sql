-- An update of a column rewrites its indexes, even if the value stays the same.
UPDATE failed_event SET attempt_started_at = ?8
WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3
    AND state = ?4 AND since = ?5 AND attempts = ?6 AND due IS ?7
    AND event_id = ?9 AND key IS ?10 AND failures = ?11 AND event = ?12
    AND event_key IS ?13 AND error = ?14 AND fingerprint = ?15;
