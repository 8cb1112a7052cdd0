"""What the package for tests offers."""

from __future__ import annotations

import subprocess
import sys

import busway.testing


def test_only_the_suites_need_pytest() -> None:
    script = "import sys, busway.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_memory_stores_have_the_partitions() -> None:
    stores = busway.testing.memory_stores(3)
    assert stores.log.partitions == 3
    await stores.close()
