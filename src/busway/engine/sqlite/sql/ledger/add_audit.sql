INSERT INTO audit (at, who, action, target, before, after, reason) VALUES (?, ?, ?, ?, ?, ?, ?);
