TRUNCATE pg_temp.{staging}
