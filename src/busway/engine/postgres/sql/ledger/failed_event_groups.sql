SELECT flow, state, fingerprint, min(error), count(*), min(since), max(since),
    min(partition::bigint << 48 | "offset")
FROM failed_event
