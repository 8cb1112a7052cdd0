"""The machine's own clock."""

from __future__ import annotations

import time

import pytest

from busway.clock import SystemClock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only on Linux are there two")
def test_the_time_that_a_machine_sleeps_counts() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = SystemClock().monotonic()
    assert before <= found <= time.clock_gettime(time.CLOCK_BOOTTIME)
