SELECT at, actor, action, target, before, after, reason, seq FROM audit WHERE seq > ? ORDER BY seq;
