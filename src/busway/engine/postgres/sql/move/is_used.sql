-- Whether anything was ever stored here.
SELECT EXISTS (SELECT FROM lane) OR EXISTS (SELECT FROM failed_event) OR EXISTS (SELECT FROM settled_range)
    OR EXISTS (SELECT FROM resolved_event) OR EXISTS (SELECT FROM audit) OR EXISTS (SELECT FROM named_value)
    OR EXISTS (SELECT FROM batch) OR EXISTS (SELECT FROM partition WHERE "end" > 0);
