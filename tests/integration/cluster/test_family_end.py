"""``busway run --workers`` and its end: by Ctrl-C, and with what steps have left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import BUSWAY, DEADLINE_S, busway, environment, running, until
from family_process import (
    LEDGER,
    LOG,
    children,
    family,
    is_alive,
    stop_outside_of_transactions,
)

FLOWS = """
import os
import time
from pathlib import Path
from busway import App
from busway.sinks import console

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=console())
def orders(event):
    if not os.fork():
        out = os.readlink("/proc/self/fd/1")
        for one in Path("/proc/self/fd").iterdir():
            if os.path.exists(one) and os.readlink(one) == out:
                os.close(int(one.name))
        Path(f"forked.{event.data['n']}").touch()
        for _ in range(1200):
            if Path("over").exists():
                break
            time.sleep(0.1)
        os._exit(0)
    return event.data
"""


def test_what_a_step_forks_does_not_keep_the_directory_closed(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    try:
        with family(tmp_path) as found:
            found.send(0, 1)
            until((tmp_path / "forked.0").exists, "a worker's step forks")
            found.kill(found.server.process.pid)
        with running("shop.py", cwd=tmp_path) as server:
            server.post({"id": "1", "data": {"n": 1}})
            until((tmp_path / "forked.1").exists, "the step of one that runs alone forks")
            os.kill(server.process.pid, signal.SIGKILL)
        with running("shop.py", cwd=tmp_path) as server:
            assert server.stop() == 0
    finally:
        (tmp_path / "over").touch()


@contextmanager
def starting(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run workers, of which none has started yet; then it ends in order, and says nothing."""
    (folder / "shop.py").write_text(FLOWS)
    process = subprocess.Popen(
        [BUSWAY, "run", "shop.py", "--port", "0", "--workers", "2"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal signals all in the foreground, and no one else
    )
    until(lambda: len(children(process.pid)) == 2, "the workers begin to start")
    yield process
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert not [line for line in errors.splitlines() if '"level":"info"' not in line]


def test_ctrl_c_is_for_the_parent_also_while_workers_start(tmp_path: Path) -> None:
    with starting(tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)


def test_a_stop_of_all_at_once_while_workers_start_is_in_order(tmp_path: Path) -> None:
    with starting(tmp_path) as process:
        workers = children(process.pid)
        databases = (tmp_path / LOG, tmp_path / LEDGER)
        stop_outside_of_transactions(process.pid, *databases)
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not any(map(is_alive, workers)), "the workers end")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)


def test_who_did_not_start_without_a_word_is_named(tmp_path: Path) -> None:
    flows = 'import os\nif os.environ.get("BUSWAY_WORKERS"):\n    os._exit(3)\n'
    (tmp_path / "shop.py").write_text(flows + FLOWS)
    ended = busway("run", "shop.py", "--port", "0", "--workers", "2", cwd=tmp_path)
    assert ended.code == 1
    assert "busway: a worker did not start: it ended with 3" in ended.err
