"""The real command, on a machine whose clock is set: libfaketime shows it another time."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from command import busway, environment, running, until
from service import not_installed

FLOWS = """
from busway import App
from busway.sinks import jsonl

app = App("t")

@app.flow(to=jsonl("out.jsonl"), retry=["2s", "1h"])
def f(event):
    if event.attempt == 1 or event.data["n"] == 2:
        raise ValueError("once")
    return event.data
"""


@pytest.fixture(scope="module")
def library() -> str:
    """Return the library, once it was seen to show a process another time."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        not_installed("libfaketime is not installed")
    place = str(Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1")
    code = "import time; print(time.time() > 4e9)"
    env = environment(LD_PRELOAD=place, FAKETIME="@2100-01-01 00:00:00")
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if shown.stdout != "True\n":
        not_installed(f"libfaketime does not work here: {shown.stderr}")
    return place


def parked(folder: Path) -> int:
    return int(busway("status", "--json", cwd=folder).json()["flows"][0]["parked"])


def attempts(folder: Path) -> list[int]:
    found = busway("dead", "list", "--parked", "--json", cwd=folder).json()["items"]
    return [int(one["attempts"]) for one in found]


@pytest.mark.parametrize("by", ["-3600s", "+3600s"])
def test_what_waits_waits_as_long_when_the_clock_is_set(
    tmp_path: Path, library: str, by: str
) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "clock").write_text("+0s")
    fake = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with running("flows.py", cwd=tmp_path, **fake) as server:
        server.post({"id": "1", "data": {"n": 1}}, {"id": "2", "data": {"n": 2}})
        until(lambda: parked(tmp_path) == 2, "both are parked")
        (tmp_path / "clock").write_text(by)
        until(lambda: (tmp_path / "out.jsonl").read_text() == '{"n":1}\n', "one is delivered")
        until(lambda: attempts(tmp_path) == [2], "the other one waits for an hour")
        assert server.stop() == 0
