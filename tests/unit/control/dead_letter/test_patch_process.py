"""A patch that means no good: a clear error, and nothing else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from busway.control.dead_letter.patch import (
    MAX_CHARACTERS,
    apply_patch,
    load_patch,
    patch_previews,
    patch_run_audit,
)
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.errors import BuswayError
from busway.testing import ManualClock, MemoryLedger
from dead_letter import filled, letter

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def source(body: str) -> str:
    """Return a patch that does this for the first letter, and is a good one for others."""
    lines = "\n        ".join(body.split("\n"))
    return (
        "import os, sys, time\n"
        f"def patch(event):\n    if event.id == 'e1':\n        {lines}\n    return {{'n': 0}}\n"
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("os._exit(3)", "exit code 3"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MemoryError('mine')", "MemoryError: mine"),
        ("time.sleep(100)", "StepTimeout"),
        ("while True: pass", "StepTimeout"),
        ("x = bytearray(10 * 1024**3)", "MemoryError"),
        ("return {'x': 'y' * (20 * 1024**2)}", "at most"),
        ("return {'x': object()}", "cannot write the event as JSON"),
        ("return {'x': float('nan')} and {1, 2}", "not set"),
        ("open('/tmp/busway-patch-test', 'wb').write(b'x' * 1024**2)", "Error"),
        ("sys.setrecursionlimit(10**9)\nf = lambda: f()\nf()", ""),
        ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
        ("os.write(3, b'xx' * 100)\nos.write(4, b'xx' * 100)", ""),
        ("os.close(3)\nos.close(4)\nos.close(5)\nos.close(6)", ""),
    ],
)
async def test_an_error_in_one_dead_letter_does_not_stop_the_others(body: str, says: str) -> None:
    patch = await load_patch(source(body))
    first, second = await apply_patch(patch, [letter(1), letter(2)], 3.0)
    assert first.effect == "failed", first
    assert says in first.error, first.error
    assert (first.after, second.effect) == (letter(1), "changed")


@LINUX
@pytest.mark.parametrize(
    "body",
    [
        "os.fork()",
        "__import__('subprocess').Popen(['sleep', '100'])",
        "__import__('threading').Thread(target=time.sleep, args=(1,)).start()",
        "__import__('socket').create_connection(('127.0.0.1', 9), 1)",
        "os.kill(os.getppid(), 9)",
        "os.execv('/bin/true', ['true'])",
    ],
)
async def test_no_process_is_made_and_nothing_else_is_reached(body: str) -> None:
    before = psutil.Process().children(recursive=True)
    patch = await load_patch(source(body))
    first, second = await apply_patch(patch, [letter(1), letter(2)], 10.0)
    assert (first.effect, second.effect) == ("failed", "changed")
    assert "Error" in first.error
    assert psutil.Process().children(recursive=True) == before


async def test_prints_of_any_length_are_of_no_consequence() -> None:
    patch = await load_patch(source("print('x' * 10_000_000)"))
    first, second = await apply_patch(patch, [letter(1), letter(2)])
    assert (first.effect, second.effect) == ("changed", "changed")


async def test_it_has_none_of_the_environment_and_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BUSWAY_SECRET_OF_A_TEST", "hidden")
    body = "names = os.listdir('/dev/fd')\nreturn {'env': [*os.environ], 'files': len(names)}"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        (found,) = await apply_patch(await load_patch(source(body)), [letter(1)])
    data = json.loads(found.after.event)["data"]
    assert not [name for name in data["env"] if not name.startswith("LC_")]
    assert data["files"] <= 6  # 0 to 2, its answers, nowhere, and the list itself


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import os; os._exit(5)", "exit code 5"),
        ("while True: pass", "StepTimeout"),
        ("x = bytearray(10 * 1024**3)", "MemoryError"),
        ("def patch(event): pass\n" + "#" * MAX_CHARACTERS, "characters"),
        ("\ud800", "cannot be loaded"),
        ("\0", "cannot be loaded"),
        ("(" * 5_000, "cannot be loaded"),
    ],
)
async def test_a_patch_that_ends_the_process_at_load_is_reported(
    text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busway.control.dead_letter.patch.CALL_TIMEOUT_S", 1.0)
    with pytest.raises(BuswayError, match=says):
        await load_patch(text)


async def test_the_trail_has_the_code_and_who_ran_it() -> None:
    ledger, clock = MemoryLedger(), ManualClock()
    await filled(ledger, letter(0))
    audit = patch_run_audit(
        "def patch(event): ...", clock.now(), "ann", DeadLetterSelection(flow="orders"), "try"
    )
    await ledger.change_values([], [audit])
    (kept,) = await ledger.audit_records()
    assert (kept.actor, kept.action, kept.reason) == ("ann", "patch run", "try")
    assert b"def patch(event): ..." in bytes(kept.after or b"")
    assert b"orders" in bytes(kept.after or b"")
    await patch_previews(ledger, DeadLetterSelection(), "def patch(event): ...", None, 1)
