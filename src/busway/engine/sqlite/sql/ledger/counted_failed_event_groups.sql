-- Groups from the counts; only times and first position of each come from the failed events.
SELECT flow, state, fingerprint, error, counted,
    (SELECT min(since) FROM failed_event
        WHERE state = of.state AND flow = of.flow AND fingerprint = of.fingerprint),
    (SELECT max(since) FROM failed_event
        WHERE state = of.state AND flow = of.flow AND fingerprint = of.fingerprint),
    (SELECT partition << 48 | "offset" FROM failed_event INDEXED BY failed_event_by_fingerprint
        WHERE state = of.state AND flow = of.flow AND fingerprint = of.fingerprint
        ORDER BY partition, "offset" LIMIT 1)
FROM (
    SELECT flow, state, fingerprint, min(error) AS error, sum(count) AS counted FROM failed_event_count
    WHERE count > 0 AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR flow = ?2)
        AND (?3 IS NULL OR fingerprint = ?3)
    GROUP BY state, flow, fingerprint
    ORDER BY counted DESC, flow, fingerprint, state LIMIT ?4
) AS of
ORDER BY counted DESC, flow, fingerprint, state;
