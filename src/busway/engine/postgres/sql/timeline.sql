SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
