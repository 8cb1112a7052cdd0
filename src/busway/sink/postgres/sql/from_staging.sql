SELECT {columns} FROM pg_temp.{staging}
