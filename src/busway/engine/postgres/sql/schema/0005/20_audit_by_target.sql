CREATE INDEX audit_by_target ON audit (left(target, 256), seq);
