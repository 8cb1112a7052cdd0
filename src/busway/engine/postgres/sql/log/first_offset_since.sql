SELECT min("offset") FROM batch
WHERE partition = $1 AND appended_at >= $2;
