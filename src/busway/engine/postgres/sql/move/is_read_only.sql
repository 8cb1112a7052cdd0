-- A standby says so too.
SELECT current_setting('transaction_read_only')::boolean;
