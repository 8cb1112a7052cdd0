CREATE INDEX batch_by_time ON batch (partition, appended_at);
