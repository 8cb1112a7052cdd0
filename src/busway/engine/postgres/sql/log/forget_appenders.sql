DELETE FROM appender WHERE at < $1;
