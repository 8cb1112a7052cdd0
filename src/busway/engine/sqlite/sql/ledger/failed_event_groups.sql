SELECT flow, state, fingerprint, min(error), count(*), min(since), max(since),
    min(partition << 48 | "offset")
FROM failed_event
