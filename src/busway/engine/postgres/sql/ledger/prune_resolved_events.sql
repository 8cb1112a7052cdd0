WITH gone AS (
    DELETE FROM resolved_event WHERE seq IN (
        SELECT seq FROM resolved_event WHERE at < $1 ORDER BY at LIMIT $2)
    RETURNING seq
)
SELECT count(*) FROM gone;
