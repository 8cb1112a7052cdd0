"""A test run that is killed leaves none of the processes that it has started."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from command import DEADLINE_S, until
from document import ROOT

INNER = """
import os, signal
from pathlib import Path

import psutil

from command import running
from nats_cluster import nats_cluster
from postgres_server import postgres_server

FLOWS = '''
from busway import App
from busway.sinks import console
app = App("t")
app.flow("f", to=console())
'''

def test_what_is_killed(tmp_path):
    (tmp_path / "flows.py").write_text(FLOWS)
    with postgres_server() as database, nats_cluster() as nats:
        with running("flows.py", "--workers", "1", cwd=tmp_path) as server:
            assert nats and database.running
            found = [psutil.Process(server.process.pid), psutil.Process(database.pid)]
            found += [one for it in found for one in it.children(recursive=True)]
            found += psutil.Process().children()
            ids = [os.getpid(), *{one.pid for one in found}]
            Path("started.new").write_text(" ".join(map(str, ids)))
            Path("started.new").rename("started")
            signal.pause()
"""


def killed(folder: Path, who: str, how: signal.Signals, *options: str) -> list[psutil.Process]:
    """Run a test that starts servers, kill the run; return what it had started."""
    (folder / "test_inner.py").write_text(INNER)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "watchdog", *options, "test_inner.py"]
    if who == "make":
        (folder / "Makefile").write_text(f"test:\n\t{shlex.join(command)}\n")
        command = ["make", "test"]
    else:
        environment.pop("MAKELEVEL", None)
    with (folder / "out").open("w") as out:
        run = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    started = folder / "started"
    until(lambda: started.exists() or run.poll() is not None, "the inner test has started")
    assert started.exists(), (folder / "out").read_text()
    worker, *pids = map(int, started.read_text().split())
    found = [psutil.Process(pid) for pid in pids]
    os.kill(worker if who == "worker" else run.pid, how)
    run.wait(DEADLINE_S)
    return found


@pytest.mark.parametrize(
    ("who", "how", "options"),
    [
        ("run", signal.SIGKILL, ()),
        ("run", signal.SIGTERM, ("-n", "1")),
        ("make", signal.SIGKILL, ("-n", "1")),
        ("worker", signal.SIGKILL, ("-n", "1", "--max-worker-restart", "0")),
    ],
)
def test_a_killed_run_leaves_no_process(
    tmp_path: Path, who: str, how: signal.Signals, options: tuple[str, ...]
) -> None:
    started = killed(tmp_path, who, how, *options)
    assert len(started) > 5
    until(lambda: not any(map(_runs, started)), "all that the run has started has ended")


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
