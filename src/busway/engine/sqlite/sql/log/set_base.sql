-- Never backwards: the base may be where the partition continues after a gap.
UPDATE partition SET base = max(base, ?2) WHERE partition = ?1;
