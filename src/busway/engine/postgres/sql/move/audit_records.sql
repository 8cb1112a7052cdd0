SELECT at, actor, action, target, before, after, reason, seq FROM audit WHERE seq > $1 ORDER BY seq;
