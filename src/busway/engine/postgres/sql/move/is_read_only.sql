-- True on a standby as well.
SELECT current_setting('transaction_read_only')::boolean;
