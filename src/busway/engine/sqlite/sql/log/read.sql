-- From the batch that holds the offset ?2 of the partition ?1, or the first one after it;
-- not so many at once that reading them is felt by others.
SELECT id, count, appended_at, body FROM batch
WHERE id >= coalesce(
        (SELECT id FROM batch WHERE id BETWEEN ?1 << 48 AND ?1 << 48 | ?2
            ORDER BY id DESC LIMIT 1),
        ?1 << 48
    )
    AND id < (?1 + 1) << 48
    AND id + count > ?1 << 48 | ?2
ORDER BY id LIMIT 1000;
