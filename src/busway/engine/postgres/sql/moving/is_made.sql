SELECT to_regclass('meta') IS NOT NULL AND to_regclass('kept') IS NOT NULL;
