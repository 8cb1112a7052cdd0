CREATE INDEX audit_by_target ON audit (target, seq);
