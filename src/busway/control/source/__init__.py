"""The control of sources: status, counts, and pauses."""
