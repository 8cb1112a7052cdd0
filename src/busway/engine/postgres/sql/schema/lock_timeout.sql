SET LOCAL lock_timeout = '60s';
