SELECT at, actor, action, target, before, after, reason, seq FROM audit
WHERE ($1 = '' OR target = $1 OR starts_with(target, $1 || '/'))
    AND ($2::bigint IS NULL OR seq < $2)
ORDER BY seq DESC LIMIT $3;
