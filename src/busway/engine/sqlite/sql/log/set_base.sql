-- Never back: it may be where the partition goes on behind a hole.
UPDATE partition SET base = max(base, ?2) WHERE partition = ?1;
