SELECT at, who, action, target, before, after, reason, seq FROM audit WHERE seq > ? ORDER BY seq;
