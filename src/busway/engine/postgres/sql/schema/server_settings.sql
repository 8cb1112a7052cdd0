SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'data_sync_retry', 'synchronous_commit',
    'synchronous_standby_names', 'server_version', 'server_version_num',
    'server_encoding') OR name = ANY ($1::text[]);
