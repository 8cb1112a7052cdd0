INSERT INTO failed_event (flow, partition, "offset", event_id, state, since, attempts, due, key, failures, event,
    event_key, error, fingerprint, attempt_started_at)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[],
    $6::timestamptz[], $7::integer[], $8::timestamptz[], $9::text[], $10::bytea[], $11::bytea[],
    $12::text[], $13::text[], $14::text[], $15::timestamptz[]);
