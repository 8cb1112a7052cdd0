CREATE INDEX resolved_by_time ON resolved (at);
