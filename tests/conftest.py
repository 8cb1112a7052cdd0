"""What holds for all tests: no property is timed, and what they start ends with them."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["watchdog"]

# the machine may be busy
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# what a shell starts in its background ignores SIGINT, and so would all that it starts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
