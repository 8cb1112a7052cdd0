"""The demo, with fewer events: all that it claims is true, and it says so with 0."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from command import environment
from document import ROOT


def test_the_demo_finds_everything_true(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo"), "10000"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^  yes  ", done.stdout, re.MULTILINE)) == 8
    assert "the CRM went down" in done.stdout
    for figure in (
        r"end to end  +[\d,]+ events/s: 10,000 events in \d",
        r"latency  +p50 \d+ ms, p99 \d+ ms from POST to the row in SQLite, p50 \d+ ms",
        r"outage  +the CRM was down for \d+\.\d s; [\d,]+ events waited",
        r"duplicates  +0 found in the table",
    ):
        assert re.search(figure, done.stdout), done.stdout
    assert "busway dead show order-3333 --data .demo/data" in done.stdout
    assert done.stderr == ""
