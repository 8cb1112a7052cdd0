"""How many connections a process uses."""

from __future__ import annotations

WORK_CONNECTIONS = 9
CONTROL_CONNECTIONS = 3
"""For heartbeats and leases, which must not wait behind the work."""
MAX_CONNECTIONS = WORK_CONNECTIONS + CONTROL_CONNECTIONS + 3
"""In addition to the pools: one that listens, and one per pool that checks for stalled sessions."""
