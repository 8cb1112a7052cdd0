-- Whether anything was ever kept here.
SELECT EXISTS (SELECT FROM lane) OR EXISTS (SELECT FROM trouble) OR EXISTS (SELECT FROM settled)
    OR EXISTS (SELECT FROM resolved) OR EXISTS (SELECT FROM audit) OR EXISTS (SELECT FROM kept)
    OR EXISTS (SELECT FROM batch) OR EXISTS (SELECT FROM partition WHERE "end" > 0);
