"""The code version of a flow changes with what it runs, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from busway.flow import compile_app, load_app

FLOWS = """
from functools import partial
import helper_module
from helper_module import imported
from busway import App
from busway.sinks import jsonl

RATE = 2
NAMES = frozenset({"a", "b", "c", "d", "e", "f"})
UNUSED = 1
app = App("v")


def helper(value):
    return value * RATE


def unrelated():
    return 1


def scaled(event, by):
    return {"n": event.data * by}


@app.flow(to=jsonl("out.jsonl"))
def flow(event):
    if event.type in NAMES:
        return None
    return {"n": helper(event.data) + imported(1) + helper_module.through(2)}


app.flow("lambda", to=jsonl("b.jsonl"), steps=[lambda event: {"n": event.data}])
app.flow("partial", to=jsonl("c.jsonl"), steps=[partial(scaled, by=3)])
"""
HELPERS = """
def imported(value):
    return value + 1


def through(value):
    return value + 2
"""
_numbers = count()


def versions(folder: Path, flows: str = FLOWS, helpers: str = HELPERS) -> dict[str, str]:
    home = folder / str(next(_numbers))
    home.mkdir()
    (home / "flows.py").write_text(flows)
    (home / "helper_module.py").write_text(helpers)
    sys.modules.pop("helper_module", None)
    program = compile_app(load_app(str(home / "flows.py")))
    sys.path.remove(str(home))
    sys.modules.pop("helper_module", None)
    return {flow.name: flow.version for flow in program.flows}


CHANGES = [
    ("flow", "helper(event.data)", "helper(event.data + 1)"),
    ("flow", "value * RATE", "value + RATE"),
    ("flow", "RATE = 2", "RATE = 3"),
    ("flow", '"e", "f"', '"e", "g"'),
    ("flow", 'jsonl("out.jsonl")', 'jsonl("other.jsonl")'),
    ("lambda", '{"n": event.data}]', '{"m": event.data}]'),
    ("partial", "event.data * by", "event.data - by"),
    ("partial", "by=3", "by=4"),
]


@pytest.mark.parametrize(("flow", "old", "new"), CHANGES)
def test_it_changes_with_what_the_flow_runs(tmp_path: Path, flow: str, old: str, new: str) -> None:
    assert FLOWS.count(old) == 1
    before, after = versions(tmp_path), versions(tmp_path, FLOWS.replace(old, new))
    assert before[flow] != after[flow]
    assert {k: v for k, v in before.items() if k != flow} == {
        k: v for k, v in after.items() if k != flow
    }


@pytest.mark.parametrize("old", ["value + 1", "value + 2"])
def test_it_changes_with_a_function_of_another_file_beside_it(tmp_path: Path, old: str) -> None:
    after = versions(tmp_path, helpers=HELPERS.replace(old, "value + 9"))
    assert versions(tmp_path)["flow"] != after["flow"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("return 1\n", "return 2\n"), ("UNUSED = 1", "UNUSED = 2"), ("RATE = 2", "\n\n\nRATE = 2")],
)
def test_it_stays_when_something_else_changes(tmp_path: Path, old: str, new: str) -> None:
    assert versions(tmp_path) == versions(tmp_path, FLOWS.replace(old, new, 1))


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "helper_module.py").write_text(HELPERS)
    script = (
        "from busway.flow import compile_app, load_app\n"
        f"flows = compile_app(load_app({str(tmp_path / 'flows.py')!r})).flows\n"
        "print([flow.version for flow in flows])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(found) == 1


def test_a_step_may_use_modules_that_have_no_file(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text(
        "import sys, time\n"
        "from busway import App\n"
        "from busway.sinks import console\n"
        "app = App('v')\n"
        "@app.flow(to=console())\n"
        "def flow(event):\n"
        "    return {'at': time.time(), 'platform': sys.platform}\n"
    )
    assert len(compile_app(load_app(str(file))).flows[0].version) == 12
