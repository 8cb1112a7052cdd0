SELECT to_regclass('meta') IS NOT NULL AND to_regclass('named_value') IS NOT NULL;
