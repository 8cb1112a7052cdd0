SELECT
    to_regclass($2) IS NOT NULL
    AND EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attname = 'fencing_token' AND NOT attisdropped
    )
