WITH gone AS (
    DELETE FROM resolved WHERE seq IN (
        SELECT seq FROM resolved WHERE at < $1 ORDER BY at LIMIT $2)
    RETURNING seq
)
SELECT count(*) FROM gone;
