SELECT key, count(*) FROM failed_event
WHERE flow = ?1 AND partition = ?2 AND state = 'parked' AND key IS NOT NULL
GROUP BY key;
